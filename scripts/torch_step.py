"""A training step of MiniLM-L6 in PyTorch on a CPU, and three ways from the tasks' losses to gradients.

`Joint` adds the losses, `Rows` keeps a gradient a task by hand, `TorchJD` does it by TorchJD (last run: 0.18.0).
For torch_workers.py.
"""

import time

import torch
from torch.nn.functional import cross_entropy
from transformers import BertConfig, BertModel

from bench_torch import HEADS, HIDDEN, INNER, LAYERS, VOCABULARY

CLASSES = 4


class Joint:
    """One backward pass of the sum of the losses."""

    apart = False

    def __call__(self, training, losses, features):
        sum(losses).backward()


class Rows:
    """One backward pass a task, whose gradients are stacked; their Gramian; the sum of the rows."""

    # A forward pass a task, so that a task's backward pass goes through its own texts only.
    apart = True

    def __call__(self, training, losses, features):
        flat = []
        for loss in losses:
            gradients = torch.autograd.grad(loss, training.shared, retain_graph=True, allow_unused=True)
            flat.append(torch.cat([(g if g is not None else torch.zeros_like(p)).reshape(-1)
                                   for g, p in zip(gradients, training.shared)]))
        stack = torch.stack(flat)
        stack @ stack.T
        offset, joint = 0, stack.sum(0)
        for p in training.shared:
            p.grad = joint[offset:offset + p.numel()].view_as(p)
            offset += p.numel()
        # The heads' gradients, from the graph that is still there.
        for head, loss in zip(training.heads, losses):
            own = list(head.parameters())
            for p, g in zip(own, torch.autograd.grad(loss, own, retain_graph=True)):
                p.grad = g


class TorchJD:
    """`mtl_backward` into `.jac` of the shared parameters and `.grad` of the heads, then an aggregator."""

    # A Jacobian's row goes back through all texts, whosever they are: more forward passes would save nothing.
    apart = False

    def __init__(self, name, tasks):
        from torchjd import aggregation, autojac
        arguments = {"CAGrad": {"c": 0.5}, "NashMTL": {"n_tasks": tasks}}
        self.autojac = autojac
        self.aggregator = getattr(aggregation, name)(**arguments.get(name, {}))
        # Without joining the rows first: faster here, but only for aggregators that need no more than the Gramian.
        self.gramian = isinstance(self.aggregator, aggregation.GramianWeightedAggregator)

    def __call__(self, training, losses, features):
        # One row after the other: all at once (vmap) has no rule for the backward pass of SDPA on a CPU and is no faster.
        self.autojac.mtl_backward(losses, features=features, shared_params=training.shared, parallel_chunk_size=1,
                                  tasks_params=[head.parameters() for head in training.heads])
        self.autojac.jac_to_grad(training.shared, self.aggregator, optimize_gramian_computation=self.gramian)


class Training:
    """MiniLM-L6 with random weights, a head a task, AdamW, and a way from the tasks' losses to gradients."""

    def __init__(self, args, gradients):
        config = BertConfig(vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=LAYERS,
                            num_attention_heads=HEADS, intermediate_size=INNER)
        config._attn_implementation = "sdpa"
        self.bf16, self.gradients = args.bf16, gradients
        self.trunk = BertModel(config, add_pooling_layer=False).train()
        self.heads = torch.nn.ModuleList(torch.nn.Linear(HIDDEN, CLASSES) for _ in range(args.tasks)).train()
        self.shared = list(self.trunk.parameters())
        self.parameters = self.shared + list(self.heads.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=5e-5, fused=True)

    def step(self, ids, labels):
        """Seconds of one step; each task has its share of the texts."""
        mask = torch.ones_like(ids)
        start = time.perf_counter()
        tasks = len(self.heads)
        own = [slice(i * len(ids) // tasks, (i + 1) * len(ids) // tasks) for i in range(tasks)]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            if self.gradients.apart:
                features = [self.trunk(ids[rows], attention_mask=mask[rows]).last_hidden_state.mean(1) for rows in own]
                states = features
            else:
                features = self.trunk(ids, attention_mask=mask).last_hidden_state.mean(1)
                states = [features[rows] for rows in own]
            losses = [cross_entropy(head(state), labels[rows]) for head, state, rows in zip(self.heads, states, own)]
        self.gradients(self, losses, features)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - start
