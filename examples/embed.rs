//! Answers texts with a checkpoint in your own program. The library alone does it, without its command line, Hub client
//! and training: `mtl-zoo = { version = "0.1", default-features = false }`.
//!
//! ```sh
//! cargo run --release --no-default-features --example embed -- runs/sentiment/checkpoint "what a day" "meh"
//! ```

use mtl_zoo::{Answer, Input, MultiTask};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: embed CHECKPOINT TEXT...")?;
    let texts: Vec<String> = args.collect();
    let inputs: Vec<Input> = texts.iter().cloned().map(Input::Text).collect();

    // Load once, share between threads: `predict` takes `&self`.
    let predictor = MultiTask::load(dir)?;
    for (text, answers) in texts.iter().zip(predictor.predict(&inputs, &[])?) {
        println!("{text}");
        for (head, answer) in answers {
            match answer {
                Answer::Label { label, probabilities } => println!("  {head}: {label} ({:.3})", probabilities[&label]),
                Answer::Labels { labels, .. } => println!("  {head}: {}", labels.join(", ")),
                Answer::Score { score } => println!("  {head}: {score:.3}"),
                Answer::Tags { tokens, tags, .. } => {
                    for (token, tag) in tokens.iter().zip(tags) {
                        println!("  {head}: {token} {}", tag.as_deref().unwrap_or("-"));
                    }
                }
            }
        }
    }
    Ok(())
}
