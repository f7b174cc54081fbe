//! A VMess response header: the first byte is what the client asked for, the
//! rest arrives, in plain text and as what a server has sealed.

use muxcool::proxy::vmess::wire::{
    BodyKeys, HeaderSeal, SEALED_LENGTH, TAG, check_response, seal_response,
};

const KEYS: BodyKeys = BodyKeys {
    key: [1; 16],
    iv: [2; 16],
};

pub fn check(data: &[u8]) {
    let Some((answer, plain)) = data.split_first() else {
        return;
    };
    if check_response(plain, *answer).is_ok() {
        assert_eq!(plain.first(), Some(answer));
        assert!(check_response(plain, !*answer).is_err(), "to any request");
    }
    let seal = HeaderSeal::of_response(&KEYS);
    if let Some((length, sealed)) = plain.split_first_chunk::<SEALED_LENGTH>() {
        assert!(seal.open_length(length).is_err(), "a length out of nothing");
        assert!(seal.open(sealed).is_err(), "a header out of nothing");
    }
    is_opened(&seal, plain);
    let response = seal_response(&KEYS, *answer);
    let opened = seal.open(&response[SEALED_LENGTH..]).expect("a response");
    assert_eq!(check_response(&opened, *answer), Ok(()));
}

/// As it was sealed, and not with a change.
fn is_opened(seal: &HeaderSeal, plain: &[u8]) {
    let mut sealed = Vec::new();
    seal.seal(&mut sealed, plain);
    assert_eq!(sealed.len(), plain.len() + TAG);
    assert_eq!(seal.open(&sealed).as_deref(), Ok(plain));
    let at = plain.iter().map(|byte| usize::from(*byte)).sum::<usize>() % sealed.len();
    sealed[at] ^= 1;
    assert!(seal.open(&sealed).is_err(), "changed at {at}");
}
