//! Scores texts with the regression heads of a checkpoint and ranks them by their mean, as a Candle tensor.

use candle_core::{Device, Tensor};
use mtl_zoo::{Answer, Input, MultiTask};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let checkpoint = args.next().ok_or("usage: outside-app CHECKPOINT TEXT...")?;
    let texts: Vec<String> = args.collect();
    let inputs: Vec<Input> = texts.iter().cloned().map(Input::Text).collect();

    let model = MultiTask::load(checkpoint)?;
    let score = |answer: &Answer| match answer {
        Answer::Score { score } => Some(*score),
        _ => None,
    };
    let rows: Vec<Vec<f32>> =
        model.predict(&inputs, &[])?.iter().map(|answers| answers.values().filter_map(score).collect()).collect();

    let means = Tensor::new(rows, &Device::Cpu)?.mean(1)?;
    let order = means.arg_sort_last_dim(false)?.to_vec1::<u32>()?;
    let means = means.to_vec1::<f32>()?;
    for text in order {
        println!("{:.3}\t{}", means[text as usize], texts[text as usize]);
    }
    Ok(())
}
