//! Figures as JSON, with all rounds.

use std::{fs, io, path::Path};

use serde_json::{Map, Value, json};

use crate::{
    figure::{Row, Series},
    growth::Step,
};

pub fn write_rows(path: &Path, rows: &[Row]) -> io::Result<()> {
    let lines = rows
        .iter()
        .flat_map(|row| (0..row.lines.len()).map(|line| value(row, line)));
    write(path, &json!({ "figures": lines.collect::<Vec<_>>() }))
}

pub fn write_steps(path: &Path, steps: &[Step]) -> io::Result<()> {
    let steps = steps.iter().map(|step| {
        json!({
            "streams": step.streams,
            "who": step.peer.to_string(),
            "rounds": step.rounds.as_ref().ok().map(|rounds| {
                rounds.iter().map(|round| json!(round.values())).collect::<Vec<_>>()
            }),
            "failed": step.rounds.as_ref().err(),
        })
    });
    write(path, &json!({ "steps": steps.collect::<Vec<_>>() }))
}

fn write(path: &Path, value: &Value) -> io::Result<()> {
    fs::write(path, serde_json::to_string_pretty(value)? + "\n")
}

fn value(row: &Row, line: usize) -> Value {
    let what = &row.lines[line];
    let floors = what.floors.iter().map(|(peer, floor)| {
        let ratio = row.ratio(line, *peer);
        json!({
            "to": peer.to_string(),
            "floor": floor,
            "met": ratio.map(|ratio| ratio >= *floor),
        })
    });
    let cells = row
        .series
        .iter()
        .map(|series| (series.peer.to_string(), cell(row, line, series)));
    json!({
        "row": row.name,
        "what": what.what,
        "unit": what.unit,
        "floors": floors.collect::<Vec<_>>(),
        "taken_by_others": row.taken_by_others,
        "programs": cells.collect::<Map<_, _>>(),
    })
}

fn cell(row: &Row, line: usize, series: &Series) -> Value {
    json!({
        "median": row.median(line, series.peer),
        "rounds": row.values(line, series.peer),
        "our_ratio": row.ratio(line, series.peer),
        "failed": series.rounds.as_ref().err(),
    })
}
