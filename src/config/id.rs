//! The text of a VLESS id.

use uuid::Uuid;

use super::error::ConfigError;
use super::json::Node;
use crate::proxy::vless::wire::parse_id;

/// Longest text that Xray makes an id of by hashing.
const XRAY_SHORT: usize = 30;

impl Node {
    /// An id as V2Ray takes it: groups of hexadecimal digits in any case,
    /// dashes between them optional (section 1.6). What V2Ray ignores after
    /// the last group is refused, and so are Xray's short texts.
    ///
    /// The text is a secret, and so is what becomes of it: neither is repeated
    /// in messages.
    pub(super) fn id(&self) -> Result<Uuid, ConfigError> {
        let text = self.string()?;
        match parse_id(text) {
            Some((id, "")) => Ok(id),
            Some(_) => Err(self
                .error("text after the end of the UUID, which V2Ray would ignore")
                .help("remove it")),
            None if (1..=XRAY_SHORT).contains(&text.len()) => Err(self.short_id()),
            None => Err(self
                .error("this is no UUID")
                .help("`muxcool uuid` makes one")),
        }
    }

    fn short_id(&self) -> ConfigError {
        self.error("a short text instead of a UUID, as Xray takes it")
            .help("write what `muxcool uuid -i TEXT` says that Xray makes of it")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::json::parse;
    use super::*;

    fn id(text: &str) -> Result<Uuid, ConfigError> {
        parse("f", &format!("{text:?}")).unwrap().id()
    }

    #[test]
    fn well_formed_ids_are_read_as_v2ray_does() {
        let wanted = Uuid::from_u128(0xb831381d_6324_4d53_ad4f_8cda48b30811);
        for text in [
            "b831381d-6324-4d53-ad4f-8cda48b30811",
            "B831381D-6324-4D53-AD4F-8CDA48B30811",
            "b831381d63244d53ad4f8cda48b30811",
            "b831381d6324-4d53ad4f-8cda48b30811",
        ] {
            assert_eq!(id(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn accidents_are_refused() {
        let after = "text after the end of the UUID, which V2Ray would ignore";
        let short = "a short text instead of a UUID, as Xray takes it";
        let none = "this is no UUID";
        let cases = [
            ("b831381d-6324-4d53-ad4f-8cda48b30811-trailing", after),
            ("b831381d63244d53ad4f8cda48b30811ff", after),
            ("b831381d-6324-4d53-ad4f-8cda48b308", none),
            ("b831381d-6324-4d53-ad4f-8cda48b3081g", none),
            ("+831381d-6324-4d53-ad4f-8cda48b30811", none),
            ("b831381d--6324-4d53-ad4f-8cda48b30811", none),
            ("-b831381d-6324-4d53-ad4f-8cda48b30811", none),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", none),
            ("b831381dé6324-4d53-ad4f-8cda48b30811", none),
            ("", none),
            ("example", short),
        ];
        for (text, what) in cases {
            assert_eq!(id(text).unwrap_err().what(), what, "{text}");
        }
    }

    #[test]
    fn what_xray_makes_of_a_short_text_is_no_part_of_the_message() {
        let message = id("example").unwrap_err().to_string();
        assert!(message.contains("muxcool uuid -i TEXT"), "{message}");
        for secret in ["example", "feb54431"] {
            assert!(!message.contains(secret), "{message}");
        }
    }

    proptest! {
        #[test]
        fn every_uuid_is_read_back(value: u128) {
            let wanted = Uuid::from_u128(value);
            prop_assert_eq!(id(&wanted.to_string()).unwrap(), wanted);
            prop_assert_eq!(id(&wanted.simple().to_string()).unwrap(), wanted);
        }

        #[test]
        fn arbitrary_text_never_panics(text in "[0-9a-fé-]{0,40}") {
            let _ = id(&text);
        }
    }
}
