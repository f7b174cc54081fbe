//! A datagram between a SOCKS5 client and its relay.

use muxcool::proxy::socks::wire::{Datagram, WireError, datagram_header, read_datagram};

pub fn check(data: &[u8]) {
    match read_datagram(data) {
        Ok(datagram) => is_read_back(&datagram, data),
        Err(WireError::Short(_)) => {}
        Err(e) => {
            let longer = [data, b"more"].concat();
            assert_eq!(read_datagram(&longer), Err(e), "more cannot help");
        }
    }
}

fn is_read_back(datagram: &Datagram, data: &[u8]) {
    assert!(data.ends_with(datagram.payload));
    let mut bytes = datagram_header(&datagram.address, datagram.port);
    bytes.extend_from_slice(datagram.payload);
    assert_eq!(read_datagram(&bytes).as_ref(), Ok(datagram));
    let header = &data[..data.len() - datagram.payload.len()];
    for len in 0..header.len() {
        let part = read_datagram(&header[..len]);
        assert!(matches!(part, Err(WireError::Short(_))), "{len} bytes");
    }
}
