use super::balancer::Turn;
use crate::link::{Layer, Link, ReadResult, Reader};

/// The link, which keeps `turn` as long as it is read.
pub(super) fn during(link: Link, turn: Option<Turn>) -> Link {
    let Some(turn) = turn else {
        return link;
    };
    let reader = During {
        inner: link.reader,
        _turn: turn,
    };
    Link {
        reader: Box::new(reader),
        writer: link.writer,
    }
}

struct During {
    inner: Box<dyn Reader>,
    _turn: Turn,
}

impl Layer for During {
    type Below = dyn Reader;

    fn below(&self) -> &Self::Below {
        self.inner.as_ref()
    }

    fn below_mut(&mut self) -> &mut Self::Below {
        self.inner.as_mut()
    }

    fn next(&mut self, mut more: impl FnMut(&mut Self::Below) -> ReadResult) -> ReadResult {
        more(self.inner.as_mut())
    }

    fn is_clear(&self) -> bool {
        true
    }
}
