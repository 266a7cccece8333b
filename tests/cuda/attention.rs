//! Attention: lengths from 1 to 300, heads that fill a tile and heads that do not, dropout, learned distances.

use crate::harness::{Case, F32, starts};
use crate::support::Random;
use mtl_zoo::ops::{Attention, Noise, RelativePositions, attention};

fn case(tokens: usize, width: usize, random: &mut Random) -> Case {
    let input =
        |random: &mut Random| ([tokens, width], random.numbers(tokens * width).into_iter().map(|x| 2.0 * x).collect());
    Case::new(vec![input(random), input(random), input(random)], vec![])
}

#[test]
fn attention_is_that_of_the_cpu() {
    let (mut random, mut worst) = (Random(1), 0.0f64);
    let shapes = [
        (0, 2, 32, 5),
        (1, 1, 32, 1),
        (70, 2, 32, 20),
        (130, 2, 64, 130),
        (150, 3, 48, 40),
        (90, 1, 128, 90),
        (66, 2, 80, 66),
        (40, 2, 12, 30),
        (35, 3, 5, 30),
        (300, 1, 32, 300),
    ];
    for (index, (tokens, heads, d, longest)) in shapes.into_iter().enumerate() {
        let case = case(tokens, heads * d, &mut random);
        // One sequence of the longest, and whatever fits.
        let mut starts = starts(tokens, longest, &mut random);
        if longest == tokens {
            starts = vec![0, tokens as u32];
        }
        let noise = Noise::new(3, index as u64);
        for dropout in [None, Some(noise.dropout(0.2))] {
            let options = Attention { starts: starts.clone(), heads, dropout, relative: None, recorder: None };
            let name = format!("attention of {tokens} tokens, {heads} heads of {d}, dropout {}", dropout.is_some());
            let error = case.compare(&name, F32, |call| {
                attention(&call.inputs[0], &call.inputs[1], &call.inputs[2], options.clone())
            });
            worst = worst.max(error);
        }
    }
    println!("attention: {worst:.1e}");
}

#[test]
fn learned_distances_and_wide_heads_are_composed() {
    let mut random = Random(2);
    let (tokens, heads, d) = (30, 2, 8);
    let mut case = case(tokens, heads * d, &mut random);
    case.parameters.push(("distances", vec![63, d], mtl_zoo::gradient::Owner::Shared, random.numbers(63 * d)));
    let starts = starts(tokens, 12, &mut random);
    case.compare("relative attention", F32, |call| {
        let relative = Some(RelativePositions { table: call.parameter("distances"), keys: true });
        let options =
            Attention { starts: starts.clone(), heads, dropout: None, relative, recorder: call.recorder.clone() };
        attention(&call.inputs[0], &call.inputs[1], &call.inputs[2], options)
    });
    let wide = self::case(20, 144, &mut random);
    wide.compare("a head of 144", F32, |call| {
        let options = Attention { starts: vec![0, 11, 20], heads: 1, dropout: None, relative: None, recorder: None };
        attention(&call.inputs[0], &call.inputs[1], &call.inputs[2], options)
    });
}
