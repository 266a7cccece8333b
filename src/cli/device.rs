//! `--device`, as several commands have it.

use super::output::{note, warn};
use anyhow::Result;
use candle_core::Device;
use mtl_zoo::device::{DeviceChoice, describe};

/// Which device computes.
#[derive(clap::Args)]
pub struct DeviceArg {
    /// What computes: auto, cpu, cuda or cuda:N; auto takes the first CUDA device if there is one.
    #[arg(long, value_name = "DEVICE", default_value = "auto", env = "MTL_ZOO_DEVICE")]
    device: String,
}

impl DeviceArg {
    /// Whether the word can be one.
    pub fn check(&self) -> Result<DeviceChoice> {
        Ok(self.device.parse::<DeviceChoice>()?)
    }

    /// Opens it, and says which it is where there was a choice or it is not the CPU.
    pub fn open(&self) -> Result<Device> {
        let choice = self.check()?;
        let (device, warning) = choice.open()?;
        warning.iter().for_each(warn);
        if !device.is_cpu() || (choice == DeviceChoice::Auto && cfg!(feature = "cuda")) {
            note(format_args!("device: {}", describe(&device)));
        }
        Ok(device)
    }
}
