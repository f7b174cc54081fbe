//! Several files as one, by V2Ray's rules.

use super::error::ConfigError;
use super::json::{Member, Node, Value};

/// Puts the configuration `over` on top of `base`. Each of its keys replaces
/// the one below, except that a lone inbound or outbound replaces the one of
/// the same tag, or else joins: an inbound behind the others, an outbound in
/// front of them (behind, if "tail" is part of the file's name).
pub(super) fn merge(base: &mut Node, over: Node) -> Result<(), ConfigError> {
    base.members()?;
    over.members()?;
    if let (Value::Object(members), Value::Object(additions)) = (&mut base.value, over.value) {
        additions
            .into_iter()
            .for_each(|member| put(members, member));
    }
    Ok(())
}

fn put(members: &mut Vec<Member>, over: Member) {
    if matches!(over.value.value, Value::Null) {
        return;
    }
    let same = |member: &&mut Member| member.key.eq_ignore_ascii_case(&over.key);
    let Some(below) = members.iter_mut().find(same) else {
        members.push(over);
        return;
    };
    let front = over.key.eq_ignore_ascii_case("outbounds") && !is_tail(&over);
    match (&mut below.value.value, over.value.value) {
        (Value::Array(_), Value::Array(nodes)) if nodes.is_empty() => {}
        (Value::Array(list), Value::Array(mut nodes)) if nodes.len() == 1 && !list.is_empty() => {
            nodes.drain(..).for_each(|node| join(list, node, front));
        }
        (value, replacement) => {
            *value = replacement;
            below.mark = over.mark;
            below.value.mark = over.value.mark;
        }
    }
}

fn join(list: &mut Vec<Node>, node: Node, front: bool) {
    match list.iter_mut().find(|other| tag(other) == tag(&node)) {
        Some(other) => *other = node,
        None if front => list.insert(0, node),
        None => list.push(node),
    }
}

fn tag(node: &Node) -> &str {
    let Value::Object(members) = &node.value else {
        return "";
    };
    let found = members.iter().find(|m| m.key.eq_ignore_ascii_case("tag"));
    match found.map(|member| &member.value.value) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

fn is_tail(member: &Member) -> bool {
    member.mark.file_name().to_lowercase().contains("tail")
}

#[cfg(test)]
mod tests {
    use super::super::json::parse;
    use super::*;

    /// The tags of a list after the second text was put on the first.
    fn merged(key: &str, files: [(&str, &str); 2]) -> Vec<String> {
        let [base, over] = files.map(|(name, text)| parse(name, text).unwrap());
        let mut all = base;
        merge(&mut all, over).unwrap();
        let members = all.members().unwrap();
        let list = &members.iter().find(|m| &*m.key == key).unwrap().value;
        list.elements()
            .unwrap()
            .iter()
            .map(|n| tag(n).to_owned())
            .collect()
    }

    const IN: &str = r#"{"inbounds": [{"tag": "a"}, {"tag": "b"}]}"#;
    const OUT: &str = r#"{"outbounds": [{"tag": "a"}, {"tag": "b"}]}"#;

    #[test]
    fn a_lone_entry_joins_or_replaces_by_tag() {
        let over = r#"{"inbounds": [{"tag": "c"}]}"#;
        assert_eq!(
            merged("inbounds", [("1", IN), ("2", over)]),
            ["a", "b", "c"]
        );
        let over = r#"{"INBOUNDS": [{"tag": "b", "port": 1}]}"#;
        assert_eq!(merged("inbounds", [("1", IN), ("2", over)]), ["a", "b"]);
        let over = r#"{"outbounds": [{"tag": "c"}]}"#;
        assert_eq!(
            merged("outbounds", [("1", OUT), ("2", over)]),
            ["c", "a", "b"]
        );
        assert_eq!(
            merged("outbounds", [("1", OUT), ("9_Tail", over)]),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn several_entries_replace_all_and_none_replace_nothing() {
        let over = r#"{"outbounds": [{"tag": "c"}, {"tag": "d"}]}"#;
        assert_eq!(merged("outbounds", [("1", OUT), ("2", over)]), ["c", "d"]);
        let over = r#"{"outbounds": []}"#;
        assert_eq!(merged("outbounds", [("1", OUT), ("2", over)]), ["a", "b"]);
        let over = r#"{"outbounds": null}"#;
        assert_eq!(merged("outbounds", [("1", OUT), ("2", over)]), ["a", "b"]);
    }

    #[test]
    fn objects_are_replaced_whole_and_keep_their_place() {
        let mut all = parse("1", r#"{"log": {"access": "none"}}"#).unwrap();
        merge(
            &mut all,
            parse("2", r#"{"log": {"loglevel": "info"}, "stats": {}}"#).unwrap(),
        )
        .unwrap();
        let members = all.members().unwrap();
        assert_eq!(members.len(), 2);
        assert_eq!(members[0].value.members().unwrap().len(), 1);
        assert_eq!(members[0].value.mark.place().to_string(), "2:1:9: log");
    }
}
