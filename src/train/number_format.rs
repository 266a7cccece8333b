//! Which number formats a device has products in.

use crate::error::{Problem, Result};
use crate::gradient::device_capability;
use crate::recipe::TrainingDtype;
use candle_core::Device;

/// Refuses a format that the device cannot multiply in.
///
/// # Errors
/// f16 on the CPU, bf16 on a card older than Ampere.
pub fn check_number_format(dtype: TrainingDtype, device: &Device) -> Result<()> {
    check(dtype, device_capability(device))
}

fn check(dtype: TrainingDtype, card: Option<(i32, i32)>) -> Result<()> {
    let (found, expected, help) = match (dtype, card) {
        (TrainingDtype::F16, None) => (
            "\"f16\", and the CPU computes".to_owned(),
            "\"bf16\" or \"f32\": f16 is for CUDA devices",
            "write `dtype = \"bf16\"`, or choose a card with `--device cuda`",
        ),
        (TrainingDtype::Bf16, Some((major @ ..8, minor))) => (
            format!("\"bf16\", and a card of compute capability {major}.{minor}"),
            "\"f16\" or \"f32\": cards have bf16 from compute capability 8.0 on",
            "write `dtype = \"f16\"`",
        ),
        _ => return Ok(()),
    };
    Err(Problem::new(found, expected, help).key("training.dtype").recipe())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_has_its_formats() {
        for (dtype, card, wrong) in [
            (TrainingDtype::F32, None, ""),
            (TrainingDtype::F32, Some((7, 5)), ""),
            (TrainingDtype::Bf16, None, ""),
            (TrainingDtype::Bf16, Some((8, 0)), ""),
            (TrainingDtype::F16, Some((7, 5)), ""),
            (TrainingDtype::F16, Some((12, 0)), ""),
            (TrainingDtype::F16, None, "bf16"),
            (TrainingDtype::Bf16, Some((7, 5)), "f16"),
        ] {
            let result = check(dtype, card);
            assert_eq!(result.is_err(), !wrong.is_empty(), "{dtype:?} {card:?}");
            if let Err(error) = result {
                let text = error.to_string();
                assert!(text.contains("training.dtype") && text.contains(&format!("dtype = \"{wrong}\"")), "{text}");
            }
        }
    }
}
