//! Rows as JSON, with the numbers apart from the words.

use std::{fs, io, path::Path};

use serde_json::{Map, Value, json};

use crate::figure::{Cell, Figure, Row};

pub fn write(path: &Path, rows: &[Row]) -> io::Result<()> {
    let rows: Vec<Value> = rows.iter().map(row).collect();
    let text = serde_json::to_string_pretty(&json!({ "rows": rows }))?;
    fs::write(path, text + "\n")
}

fn row(row: &Row) -> Value {
    json!({
        "name": row.name,
        "taken_by_others": row.taken_by_others,
        "figures": row.figures.iter().map(figure).collect::<Vec<_>>(),
    })
}

fn figure(figure: &Figure) -> Value {
    json!({
        "what": figure.what,
        "target": figure.target,
        "cells": figure.cells.iter().map(cell).collect::<Vec<_>>(),
    })
}

fn cell(cell: &Cell) -> Value {
    let peaks: Map<String, Value> = cell
        .peaks
        .iter()
        .map(|peak| (peak.role.clone(), peak.bytes.into()))
        .collect();
    let mut value = json!({ "who": cell.who, "peak_memory_bytes": peaks });
    match &cell.reading {
        Ok(reading) => {
            value["text"] = json!(reading.text);
            value["met"] = json!(reading.met);
            value["values"] = values(&reading.values);
        }
        Err(why) => value["failed"] = json!(why),
    }
    value
}

fn values(values: &[(&'static str, f64)]) -> Value {
    let each = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)));
    Value::Object(each.collect())
}
