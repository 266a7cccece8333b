//! What stands for `gradient/cuda/` in a build without the feature `cuda`: types of which there is no value.

use super::update::Numbers;
use super::{Arena, DeviceFault, Measures, Parts, Recorder, Row, Slot, TableRows};
use crate::collective::Collective;
use candle_core::{Device, Result, Tensor};

/// Gradient rows on a device.
#[derive(Debug)]
pub enum DeviceRows {}

/// AdamW's moments on a device.
#[derive(Debug)]
pub enum DeviceMoments {}

/// What a step takes from the host.
#[allow(dead_code, reason = "read where there are devices")]
pub struct DeviceStep<'a> {
    pub numbers: &'a [Numbers],
    pub parts: &'a [usize],
    pub rows: &'a [usize],
    pub weights: &'a [Vec<f32>],
}

/// Opens device `number`.
///
/// # Errors
/// Always: devices take the feature `cuda`.
pub fn open(_: usize) -> std::result::Result<Device, DeviceFault> {
    Err(DeviceFault::NotCompiled)
}

/// Nothing to set.
pub fn set_tf32(_: bool) {}

/// The card's name.
pub fn name(_: &Device) -> Option<String> {
    None
}

/// The card's compute capability.
pub fn capability(_: &Device) -> Option<(i32, i32)> {
    None
}

/// Free and all memory of a device, in bytes.
pub fn memory(_: &Device) -> Option<(usize, usize)> {
    None
}

impl DeviceRows {
    pub fn new(_: &Arena, _: Vec<bool>) -> Option<Self> {
        None
    }

    pub fn clear(&mut self) {
        match *self {}
    }

    pub fn clear_slot(&mut self, _: Slot, _: usize) -> Result<()> {
        match *self {}
    }

    pub fn fill(&mut self, _: &[usize]) -> Result<()> {
        match *self {}
    }

    pub fn expect(&mut self, _: &[u32]) {
        match *self {}
    }

    pub fn reduce(&mut self, _: &[usize], _: &dyn Collective) -> crate::Result<()> {
        match *self {}
    }

    pub fn fetch(&mut self, _: usize, _: &mut Row, _: &mut [TableRows]) -> Result<()> {
        match *self {}
    }

    pub fn send(&mut self, _: usize, _: &Row, _: &[TableRows]) -> Result<()> {
        match *self {}
    }

    pub fn heads(&self) -> Result<Vec<f32>> {
        match *self {}
    }

    pub fn set_heads(&mut self, _: &[f32]) -> Result<()> {
        match *self {}
    }

    pub fn scale(&mut self, _: &[usize], _: f32) -> Result<()> {
        match *self {}
    }

    pub fn scale_head(&mut self, _: Slot, _: f32) -> Result<()> {
        match *self {}
    }

    pub fn measure(&self, _: &Parts, _: &[usize]) -> Result<Measures> {
        match *self {}
    }
}

impl DeviceMoments {
    pub fn new(_: &Arena) -> Option<Self> {
        None
    }

    pub fn copies(&self) -> Result<[Vec<f32>; 2]> {
        match *self {}
    }

    pub fn restore(&mut self, _: [&[f32]; 2]) -> Result<()> {
        match *self {}
    }

    pub fn step(&mut self, _: &Arena, _: &mut DeviceRows, _: &DeviceStep) -> Result<()> {
        match *self {}
    }

    pub fn look_ahead<R>(&self, _: &Arena, _: &DeviceRows, _: &DeviceStep, _: impl FnOnce() -> R) -> Result<R> {
        match *self {}
    }
}

impl Recorder {
    pub(super) fn add_on_device(&self, _: Slot, _: usize, _: &Tensor) -> Result<()> {
        candle_core::bail!("a gradient on a device, in a program without the feature `cuda`")
    }

    pub(super) fn record_rows_tensor(&self, _: Slot, _: &[u32], _: &Tensor) -> Result<()> {
        candle_core::bail!("a gradient on a device, in a program without the feature `cuda`")
    }
}
