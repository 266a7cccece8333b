//! The device that tests of CUDA devices run on.

use candle_core::Device;
use mtl_zoo::gradient::open_device;
use std::sync::LazyLock;

/// The first CUDA device; none where there is neither a card nor the emulator, but for runs that must have one.
pub fn device() -> Option<Device> {
    static DEVICE: LazyLock<Option<Device>> = LazyLock::new(|| match open_device(0) {
        Ok(device) => Some(device),
        Err(fault) if std::env::var_os("MTL_ZOO_NEEDS_CUDA").is_some() => panic!("no CUDA device: {fault:?}"),
        Err(_) => {
            println!("skipped: no CUDA device, and no emulator (scripts/test_cuda.sh)");
            None
        }
    });
    DEVICE.clone()
}
