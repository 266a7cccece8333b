"""BERT with a classifier on the mean or the maximum of its token states.

Written by mtl-zoo beside a model that it exported; open it with trust_remote_code=True. The standard class reads the first
token only.
"""

import torch
from torch import nn
from transformers import BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class MtlZooBertConfig(BertConfig):
    model_type = "mtl_zoo_bert"

    def pooling(self):
        return getattr(self, "mtl_zoo_pooling", "mean")


class MtlZooBertForSequenceClassification(BertPreTrainedModel):
    config_class = MtlZooBertConfig

    def __init__(self, config):
        super().__init__(config)
        if config.pooling() not in ("mean", "max"):
            raise ValueError(f"mtl_zoo_pooling is {config.pooling()!r}, expected 'mean' or 'max'")
        self.num_labels = config.num_labels
        self.bert = BertModel(config, add_pooling_layer=False)
        dropout = getattr(config, "classifier_dropout", None)
        self.dropout = nn.Dropout(config.hidden_dropout_prob if dropout is None else dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def pool(self, states, mask):
        """States [batch, tokens, hidden] to [batch, hidden]; padding does not count."""
        if mask is None or mask.dim() != 2:
            mask = torch.ones(states.shape[:2], device=states.device)
        mask = mask.to(torch.float32).unsqueeze(-1)
        if self.config.pooling() == "max":
            return states.masked_fill(mask == 0, torch.finfo(states.dtype).min).max(1).values
        # In f32, as a sum of many small numbers should be.
        return ((states.float() * mask).sum(1) / mask.sum(1).clamp(min=1)).to(states.dtype)

    def forward(self, input_ids=None, attention_mask=None, token_type_ids=None, position_ids=None, inputs_embeds=None,
                labels=None, output_attentions=None, output_hidden_states=None, return_dict=None, **kwargs):
        outputs = self.bert(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits = self.classifier(self.dropout(self.pool(outputs.last_hidden_state, attention_mask)))
        loss = None
        if labels is not None:
            if self.config.problem_type == "regression":
                loss = nn.functional.mse_loss(logits.squeeze(-1), labels.squeeze(-1).to(logits.dtype))
            elif self.config.problem_type == "multi_label_classification":
                loss = nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))
            else:
                loss = nn.functional.cross_entropy(logits, labels.view(-1))
        output = SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=outputs.hidden_states, attentions=outputs.attentions
        )
        return output.to_tuple() if return_dict is False else output
