use std::collections::VecDeque;
use std::sync::Arc;

use super::{Handle, Interrupt, LinkError, Writer};
use crate::buf::Buf;

/// Takes everything, and forgets it. Nothing waits here, so there is nothing
/// to interrupt, either.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl Nowhere {
    /// For who has to name someone to interrupt, and has no one.
    pub fn handle() -> Handle {
        Arc::new(Nowhere)
    }
}

impl Writer for Nowhere {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        batch.clear();
        Ok(())
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        Ok(data.len())
    }

    fn close(&mut self) -> Result<(), LinkError> {
        Ok(())
    }

    fn abort(&mut self) {}

    fn handle(&self) -> Handle {
        Nowhere::handle()
    }
}

impl Interrupt for Nowhere {
    fn interrupt(&self) {}
}
