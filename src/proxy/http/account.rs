use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::wire::Fields;
use crate::proxy::socks::Account;

/// Whoever the request's `Proxy-Authorization` (RFC 7617) proves it to be.
/// Takes as long for a wrong password as for a wrong name.
pub(super) fn authenticate<'a>(accounts: &'a [Account], fields: &Fields) -> Option<&'a Account> {
    let (name, password) = credentials(fields)?;
    let matches = |account: &Account| {
        let same_name = account.user.as_bytes().ct_eq(&name);
        let same_password = account.password.as_bytes().ct_eq(&password);
        bool::from(same_name & same_password)
    };
    let mut found = None;
    for account in accounts {
        if matches(account) {
            found = Some(account);
        }
    }
    found
}

/// The name ends at the first colon.
fn credentials(fields: &Fields) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut values = fields.all("Proxy-Authorization");
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, encoded) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let mut name = STANDARD.decode(encoded.trim()).ok()?;
    let colon = name.iter().position(|byte| *byte == b':')?;
    let password = name.split_off(colon + 1);
    name.truncate(colon);
    Some((name, password))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::http::wire::parse_request;

    fn who(fields: &str) -> Option<String> {
        let account = |user: &str, password: &str| Account {
            user: user.into(),
            password: password.into(),
        };
        let accounts = [account("ann", "a:b"), account("bob", "")];
        let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        let head = parse_request(head.as_bytes()).unwrap();
        authenticate(&accounts, &head.fields).map(|account| account.user.clone())
    }

    fn field(plain: &str) -> String {
        format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(plain))
    }

    #[test]
    fn only_a_known_name_with_its_password_passes() {
        assert_eq!(who(&field("ann:a:b")).as_deref(), Some("ann"));
        assert_eq!(who(&field("bob:")).as_deref(), Some("bob"));
        let lower = field("bob:").replace("Basic", "basic");
        assert_eq!(who(&lower).as_deref(), Some("bob"));
        for plain in ["ann:a", "ann", "ann:", "bob:x", "Ann:a:b", ":", ""] {
            assert_eq!(who(&field(plain)), None, "{plain}");
        }
        assert_eq!(who(""), None);
        assert_eq!(who(&field("bob:").replace("Basic", "Bearer")), None);
        assert_eq!(who("Proxy-Authorization: Basic !\r\n"), None);
        assert_eq!(who(&field("bob:").repeat(2)), None, "which of them counts?");
    }
}
