//! Which program is at which end of which kind of tunnel.

use std::fmt;

use crate::support::{
    program::Kind::{self, Muxcool, V2ray},
    tunnel::Shape,
};

/// Visitors arrive at the near program, targets are behind the far one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairing {
    pub shape: Shape,
    pub near: Kind,
    pub far: Kind,
}

impl Pairing {
    pub const fn reverse(near: Kind, far: Kind) -> Self {
        Self {
            shape: Shape::Reverse,
            near,
            far,
        }
    }

    pub const fn forward(near: Kind, far: Kind) -> Self {
        Self {
            shape: Shape::Forward,
            near,
            far,
        }
    }

    /// Whether a target of ours has to be met: not by V2Ray alone.
    pub fn is_judged(self) -> bool {
        self != Self {
            near: V2ray,
            far: V2ray,
            ..self
        }
    }

    /// What the near and the far program are called.
    pub fn roles(self) -> (&'static str, &'static str) {
        match self.shape {
            Shape::Reverse => ("portal", "bridge"),
            Shape::Forward | Shape::Plain => ("client", "server"),
        }
    }
}

/// A reverse tunnel of muxcool, and one of V2Ray.
pub const ALONE: [Pairing; 2] = [
    Pairing::reverse(Muxcool, Muxcool),
    Pairing::reverse(V2ray, V2ray),
];

/// The same of a forward tunnel.
pub const ALONE_FORWARD: [Pairing; 2] = [
    Pairing::forward(Muxcool, Muxcool),
    Pairing::forward(V2ray, V2ray),
];

/// All four pairings of a shape.
pub fn all(shape: Shape) -> [Pairing; 4] {
    let pairs = [
        (Muxcool, Muxcool),
        (Muxcool, V2ray),
        (V2ray, Muxcool),
        (V2ray, V2ray),
    ];
    pairs.map(|(near, far)| Pairing { shape, near, far })
}

impl fmt::Display for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (near, far) = self.roles();
        if self.near == self.far {
            write!(f, "{} {near}+{far}", name(self.near))
        } else {
            write!(f, "{} {near}, {} {far}", name(self.near), name(self.far))
        }
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Muxcool => "muxcool",
        V2ray => "V2Ray",
    }
}
