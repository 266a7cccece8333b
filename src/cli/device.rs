//! `--device`, as several commands have it.

use super::argument;
use super::output::{note, warn};
use anyhow::Result;
use candle_core::Device;
use mtl_zoo::collective::Ranks;
use mtl_zoo::device::{DeviceChoice, describe};
use mtl_zoo::gradient::{DeviceFault, open_device};

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

    /// Opens the one of a rank: the card of its number on this machine, or the only one that it sees.
    pub fn open_for(&self, ranks: &Ranks) -> Result<Device> {
        let choice = self.check()?;
        if self.device.contains(':') {
            let help = "write `--device cuda`: each rank takes the card of its number on the machine";
            let found = format!("`{}` for {} ranks", self.device, ranks.ranks);
            return Err(argument(&found, "a card for each of them", help, "--device"));
        }
        let (DeviceChoice::Auto | DeviceChoice::Cuda(_)) = choice else { return Ok(Device::Cpu) };
        match open_device(ranks.local) {
            Ok(device) => Ok(device),
            // What has given each rank a card of its own shows it no other.
            Err(DeviceFault::OutOfRange { devices: 1 }) => Ok(DeviceChoice::Cuda(0).open()?.0),
            Err(DeviceFault::NotCompiled | DeviceFault::NoDriver(_) | DeviceFault::NoDevice)
                if choice == DeviceChoice::Auto =>
            {
                Ok(Device::Cpu)
            }
            Err(_) => Ok(DeviceChoice::Cuda(ranks.local).open()?.0),
        }
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
