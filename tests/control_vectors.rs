//! The reference's Control messages, made and read by V2Ray 4.34: all of
//! `vectors/control.json` is decoded, compared and encoded again.

#[path = "support/reference.rs"]
mod reference;

use muxcool::reverse::{Control, ControlError};
use reference::{text, unhex};
use serde_json::Value;

/// Where we differ from the reference on purpose.
struct Difference {
    name: &'static str,
    /// What we encode instead of the reference's `reencoded_hex`.
    reencoded: &'static str,
    reason: &'static str,
}

const DIFFERENCES: [Difference; 1] = [Difference {
    name: "unknown-group-field-6",
    reencoded: "0801",
    reason: "groups are skipped, not kept: protobuf has given them up, and \
             nobody passes a Control message on",
}];

fn vectors() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("vectors/control.json")).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

fn check_decoded(vector: &Value, control: &Control) {
    let name = text(vector, "name");
    let expected = &vector["decoded"];
    let number = i64::from(control.state().number());
    assert_eq!(number, expected["state"].as_i64().unwrap(), "{name}");
    let random = unhex(text(expected, "random_hex"));
    assert_eq!(control.random(), random, "{name}");
    let len = expected["random_len"].as_u64().unwrap();
    assert_eq!(random.len() as u64, len, "{name}");
}

/// A message that the reference writes itself comes back as it was; one that
/// it only reads comes back as the reference would write it.
fn expected_reencoding(vector: &Value) -> Vec<u8> {
    let name = text(vector, "name");
    if let Some(difference) = DIFFERENCES.iter().find(|d| d.name == name) {
        assert_ne!(
            difference.reencoded,
            text(vector, "reencoded_hex"),
            "no difference: {}",
            difference.reason
        );
        return unhex(difference.reencoded);
    }
    match text(vector, "direction") {
        "both" => unhex(text(vector, "hex")),
        "decode" => unhex(text(vector, "reencoded_hex")),
        other => panic!("{name}: direction {other:?}"),
    }
}

#[test]
fn good_messages_are_read_and_written_like_the_reference() {
    let vectors = vectors();
    let good: Vec<&Value> = vectors.iter().filter(|v| v["error"].is_null()).collect();
    assert_eq!(good.len(), 21);
    for vector in good {
        let name = text(vector, "name");
        let control = Control::decode(&unhex(text(vector, "hex")))
            .unwrap_or_else(|e| panic!("{name}: {e}: {e:?}"));
        check_decoded(vector, &control);
        assert_eq!(control.encode(), expected_reencoding(vector), "{name}");
    }
}

#[test]
fn bad_messages_are_refused() {
    let vectors = vectors();
    let bad: Vec<&Value> = vectors.iter().filter(|v| !v["error"].is_null()).collect();
    assert_eq!(bad.len(), 5);
    for vector in bad {
        let refused = Control::decode(&unhex(text(vector, "hex")));
        assert!(
            matches!(refused, Err(ControlError::Malformed(_))),
            "{}: {refused:?}",
            text(vector, "name")
        );
    }
}

#[test]
fn every_difference_names_a_vector() {
    let vectors = vectors();
    for difference in &DIFFERENCES {
        assert!(vectors.iter().any(|v| text(v, "name") == difference.name));
    }
}
