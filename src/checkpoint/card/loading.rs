//! How to load the checkpoint.

use crate::checkpoint::{CONFIG_FILE, HeadInfo, MODEL_FILE};
use crate::recipe::{Pooling, TaskType};
use std::fmt::Write;

/// Programs that open the folder: mtl-zoo, and two without it, for the first head.
pub(super) fn loading(card: &mut String, task: &str, head: &HeadInfo) -> std::fmt::Result {
    let per_token = head.kind == TaskType::TokenClassification;
    let (rust, python) = match head.pooling {
        _ if per_token => ("hidden", "out.last_hidden_state"),
        Pooling::Cls => ("hidden.i((.., 0))?", "out.last_hidden_state[:, 0]"),
        Pooling::Mean => ("hidden.mean(1)?", "out.last_hidden_state.mean(1)"),
        Pooling::Max => ("hidden.max(1)?", "out.last_hidden_state.max(1).values"),
        Pooling::Pooler => (
            "candle_nn::linear(config.hidden_size, config.hidden_size, vb.pp(\"pooler.dense\"))?\n    \
             .forward(&hidden.i((.., 0))?.contiguous()?)?.tanh()?",
            "out.pooler_output",
        ),
    };
    let pooler = if head.pooling == Pooling::Pooler && !per_token { "" } else { ", add_pooling_layer=False" };
    let outputs = head.outputs();
    writeln!(
        card,
        r#"With mtl-zoo, here in its folder; `.` can be a Hub id too:

```sh
mtl-zoo predict . "some text"
```

```rust
let model = mtl_zoo::MultiTask::load(".")?;
let answers = model.predict(&[mtl_zoo::Input::Text("some text".into())], &[])?;
```

With `candle-transformers` alone, here for the head `{task}` and one text (`ids` and `type_ids` from `tokenizers`, `[1, tokens]`):

```rust
use candle_core::{{DType, IndexOp, Module}};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{{BertModel, Config}};

let config: Config = serde_json::from_slice(&std::fs::read("{CONFIG_FILE}")?)?;
let tensors = candle_core::safetensors::load("{MODEL_FILE}", &device)?;
let vb = VarBuilder::from_tensors(tensors, DType::F32, &device);
let bert = BertModel::load(vb.clone(), &config)?;
let hidden = bert.forward(&ids, &type_ids, None)?;
let state = {rust};
let head = candle_nn::linear(config.hidden_size, {outputs}, vb.pp("heads.{task}"))?;
let output = head.forward(&state)?;
```

With Python's `transformers`, again for one text (in a padded batch, leave padding out of mean and max):

```python
import safetensors.torch, torch
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModel.from_pretrained("."{pooler}).float().eval()
heads = safetensors.torch.load_file("{MODEL_FILE}")
with torch.no_grad():
    out = model(**tokenizer("some text", return_tensors="pt"))
    state = {python}
    output = state @ heads["heads.{task}.weight"].float().T + heads["heads.{task}.bias"].float()
```

{meaning}
"#,
        meaning = match head.kind {
            TaskType::Classification => "Softmax over the output gives the probabilities of the labels.",
            TaskType::MultiLabel => "A sigmoid of each output gives the probability of its label.",
            TaskType::Regression => "The output is the number itself.",
            TaskType::TokenClassification =>
                "Softmax over a token's outputs gives the probabilities of its tags; a word's tag is that of its first token.",
        }
    )
}
