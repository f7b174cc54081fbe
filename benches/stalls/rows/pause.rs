//! A visitor that pauses: nobody may take it for one that is gone.

use std::{io::Read, thread};

use crate::{
    common::{failure::Failure, service::Source, visitor},
    figure::{Figure, Reading},
    pairing::{self, Pairing},
    rig::Rig,
    scene::{Scene, Stage},
    support::program::Kind::{Muxcool, V2ray},
};

/// Bytes of the answer: more than all buffers on its way, so that the target
/// waits, too.
const ANSWER: u64 = 64 * 1024 * 1024;

/// Bytes that the visitor reads before its pause.
const BEFORE: usize = 1024 * 1024;

pub fn measure(scene: &Scene) -> Vec<Figure> {
    let pause = scene.scale.pause.as_secs();
    let what = format!("a visitor reads 1 of 64 MiB, nothing for {pause} s, then the rest");
    let mixed = Pairing::reverse(Muxcool, V2ray);
    let [ours, theirs] = pairing::ALONE;
    let all = scene.together(&what, &[ours, mixed, theirs], answer_of);
    vec![Figure {
        what,
        target: "whole",
        cells: all.iter().map(|series| series.cell(read)).collect(),
    }]
}

/// Bytes that came.
fn answer_of(stage: &Stage) -> Result<u64, Failure> {
    let source = Source::of(ANSWER);
    let rig = Rig::start(stage, &[source.address()])?;
    let mut visitor = visitor::enter(rig.door(source.address()))?;
    let mut bytes = vec![0; BEFORE];
    visitor.read_exact(&mut bytes)?;
    thread::sleep(stage.scale.pause);
    let mut came = BEFORE as u64;
    while came < ANSWER {
        match visitor.read(&mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(count) => came += count as u64,
        }
    }
    Ok(came)
}

fn read(samples: &[u64]) -> Reading {
    let came = samples.first().copied().unwrap_or_default();
    let text = if came == ANSWER {
        "whole".to_owned()
    } else {
        format!(
            "cut after {:.1} of 64 MiB",
            came as f64 / f64::from(1 << 20)
        )
    };
    Reading::new(text)
        .value("bytes", came as f64)
        .met(came == ANSWER)
}
