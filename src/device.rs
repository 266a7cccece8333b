//! Which device computes: chosen by a word, with a message of its own for each reason why it cannot be.

use crate::error::{Problem, Result};
use crate::gradient::{DeviceFault, device_name, open_device};
use candle_core::{Device, DeviceLocation};
use std::str::FromStr;

/// What computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device, where the program was built for it and there is one; else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of that number, counted from 0.
    Cuda(usize),
}

/// The flag that the messages speak of.
const FLAG: &str = "--device";
/// What may be written.
const WORDS: &str = "`auto`, `cpu`, `cuda` or `cuda:N`";

impl FromStr for DeviceChoice {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self> {
        let help = match text.split_once(':') {
            None => match text {
                "auto" => return Ok(Self::Auto),
                "cpu" => return Ok(Self::Cpu),
                "cuda" => return Ok(Self::Cuda(0)),
                "metal" => "there are no kernels for Metal; leave `--device` out to compute on the CPU",
                "gpu" => "write `--device cuda`",
                _ => "leave `--device` out, or write `--device cpu`",
            },
            Some(("cuda", number)) => match number.parse() {
                Ok(number) => return Ok(Self::Cuda(number)),
                Err(_) => "number the devices from 0, as `nvidia-smi` does: `--device cuda:0`",
            },
            Some(_) => "write `--device cuda:0` for the first card",
        };
        Err(Problem::new(format!("`{text}`"), WORDS, help).key(FLAG).argument())
    }
}

impl DeviceChoice {
    /// The device, and what a person should know about how it was chosen.
    ///
    /// # Errors
    /// If a CUDA device was asked for by name and cannot be had: says which part is missing and what to do.
    pub fn open(self) -> Result<(Device, Option<String>)> {
        match self {
            Self::Cpu => Ok((Device::Cpu, None)),
            Self::Cuda(number) => {
                open_device(number).map(|device| (device, None)).map_err(|fault| problem(&fault, number).argument())
            }
            Self::Auto => match open_device(0) {
                Ok(device) => Ok((device, None)),
                // Nothing is wrong with a machine without a card.
                Err(DeviceFault::NotCompiled | DeviceFault::NoDriver(_) | DeviceFault::NoDevice) => {
                    Ok((Device::Cpu, None))
                }
                Err(fault) => {
                    let problem = problem(&fault, 0);
                    Ok((Device::Cpu, Some(format!("the CPU computes: {}; {}", problem.found(), help(&fault)))))
                }
            },
        }
    }
}

/// The device as output names it: `cpu`, or `cuda:0 (NVIDIA H100)`.
pub fn describe(device: &Device) -> String {
    match (device.location(), device_name(device)) {
        (DeviceLocation::Cpu, _) => "cpu".into(),
        (DeviceLocation::Cuda { gpu_id }, Some(name)) => format!("cuda:{gpu_id} ({name})"),
        (DeviceLocation::Cuda { gpu_id }, None) => format!("cuda:{gpu_id}"),
        (DeviceLocation::Metal { gpu_id }, _) => format!("metal:{gpu_id}"),
    }
}

fn problem(fault: &DeviceFault, number: usize) -> Problem {
    let version = |version: i32| format!("{}.{}", version / 1000, version % 1000 / 10);
    let (found, expected) = match fault {
        DeviceFault::NotCompiled => {
            ("`cuda`, but this program was built without it".into(), "`auto` or `cpu`".to_owned())
        }
        DeviceFault::NoDriver(why) => (
            format!("no NVIDIA driver: libcuda.so.1 cannot be opened{}", after(why)),
            "an installed NVIDIA driver".into(),
        ),
        DeviceFault::DriverTooOld { found, needed } => (
            format!("an NVIDIA driver for CUDA {}", version(*found)),
            format!("one for CUDA {} or newer, which this program was built with", version(*needed)),
        ),
        DeviceFault::NoDevice => ("an NVIDIA driver, but no device".into(), "a device that CUDA can see".into()),
        DeviceFault::CardTooOld { found, needed } => (
            format!("a card of compute capability {}.{}", found / 10, found % 10),
            format!("{}.{} or newer, which this program has kernels for", needed / 10, needed % 10),
        ),
        DeviceFault::OutOfRange { devices } => {
            let (found, expected) = match devices {
                1 => ("there is 1 device".into(), "`cuda` or `cuda:0`".into()),
                _ => (format!("there are {devices} devices"), format!("a number from 0 to {}", devices - 1)),
            };
            (format!("`cuda:{number}`, but {found}"), expected)
        }
        DeviceFault::NoLibrary(why) => (
            format!("no cuBLAS or cuRAND library beside the driver{}", after(why)),
            "libcublas.so.13, libcublasLt.so.13 and libcurand.so.10".into(),
        ),
        DeviceFault::Other(why) => (format!("a device that cannot be opened{}", after(why)), "a working device".into()),
    };
    Problem::new(found, expected, help(fault)).key(FLAG)
}

/// The system's own words, short.
fn after(why: &str) -> String {
    match why.lines().find(|line| !line.trim().is_empty()) {
        Some(line) => format!(" ({})", line.trim().chars().take(160).collect::<String>()),
        None => String::new(),
    }
}

fn help(fault: &DeviceFault) -> String {
    match fault {
        DeviceFault::NotCompiled => {
            "build it with `cargo build --release --features cuda`, or leave `--device` out to compute on the CPU".into()
        }
        DeviceFault::NoDriver(_) => {
            "install NVIDIA's driver, or leave `--device` out; in a container pass the card on, as with `docker run --gpus \
             all`"
                .into()
        }
        DeviceFault::DriverTooOld { needed, .. } => format!(
            "update the driver (series {} or newer), or build the program with an older CUDA toolkit",
            if *needed >= 13000 { 580 } else { 525 }
        ),
        DeviceFault::NoDevice => {
            "see whether `nvidia-smi` lists a card and CUDA_VISIBLE_DEVICES does not hide it, or leave `--device` out".into()
        }
        DeviceFault::CardTooOld { .. } => {
            "name a newer card with `--device cuda:N`, or leave `--device` out to compute on the CPU".into()
        }
        DeviceFault::OutOfRange { devices: 1 } => "write `--device cuda`".into(),
        DeviceFault::OutOfRange { devices } => format!("write a number below {devices}; `nvidia-smi -L` lists the devices"),
        DeviceFault::NoLibrary(_) => {
            "install the CUDA 13 libraries, or name their folder in CUDA_LIB_PATH; those of a Python torch will do: see \
             docs/gpu.md"
                .into()
        }
        DeviceFault::Other(_) => {
            "see whether `nvidia-smi` works and another program fills the card, or leave `--device` out".into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_their_opposites() {
        let parse = |text: &str| text.parse::<DeviceChoice>();
        assert_eq!(parse("auto").unwrap(), DeviceChoice::Auto);
        assert_eq!(parse("cpu").unwrap(), DeviceChoice::Cpu);
        assert_eq!(parse("cuda").unwrap(), DeviceChoice::Cuda(0));
        assert_eq!(parse("cuda:3").unwrap(), DeviceChoice::Cuda(3));
        for (wrong, help) in [
            ("gpu", "`--device cuda`"),
            ("metal", "Metal"),
            ("cuda:x", "from 0"),
            ("cuda:-1", "from 0"),
            ("cpu:1", "cuda:0"),
            ("", "`--device cpu`"),
        ] {
            let text = parse(wrong).unwrap_err().to_string();
            assert!(text.contains(&format!("found `{wrong}`")) && text.contains(help), "{text}");
        }
    }

    #[test]
    fn each_fault_has_its_own_message() {
        let faults = [
            DeviceFault::NotCompiled,
            DeviceFault::NoDriver("libcuda.so.1: cannot open shared object file".into()),
            DeviceFault::DriverTooOld { found: 12080, needed: 13000 },
            DeviceFault::NoDevice,
            DeviceFault::CardTooOld { found: 70, needed: 75 },
            DeviceFault::OutOfRange { devices: 2 },
            DeviceFault::NoLibrary("libcublas.so.13: cannot open".into()),
            DeviceFault::Other("out of order".into()),
        ];
        let words = [
            "--features cuda",
            "driver",
            "CUDA 12.8",
            "CUDA_VISIBLE_DEVICES",
            "capability 7.0",
            "`cuda:5`",
            "CUDA_LIB_PATH",
            "nvidia-smi",
        ];
        let texts: Vec<String> = faults.iter().map(|fault| problem(fault, 5).argument().to_string()).collect();
        for (index, (text, word)) in texts.iter().zip(words).enumerate() {
            assert!(text.contains(word) && text.contains(FLAG) && text.contains("help"), "{text}");
            assert!(texts[..index].iter().all(|other| other != text));
        }
        assert!(
            texts[1].contains("cannot open shared object file") && texts[6].contains("libcublas.so.13: cannot open")
        );
    }
}
