use std::sync::Arc;
use std::time::Duration;

use super::{OutboundOptions, Response};
use crate::buf::Buf;
use crate::limits::PARTING;
use crate::link::{self, DispatchError, Handle, Link, Nowhere, ReadResult, Reader, Request};
use crate::proxy::stream::part;

/// The answer as V2Ray writes it: line feeds alone, and two empty lines.
const FORBIDDEN: &[u8] = b"HTTP/1.1 403 Forbidden\n\
    Connection: close\n\
    Cache-Control: max-age=3600, public\n\
    Content-Length: 0\n\
    \n\
    \n";

/// What a connection that was taken here fails with.
const REFUSED: DispatchError = DispatchError::Refused("refused by a blackhole");

/// Cuts every connection, after an answer if it is to give one.
pub struct Outbound {
    tag: Arc<str>,
    response: Response,
}

impl Outbound {
    /// An outbound that answers what `options` says.
    pub fn new(tag: Arc<str>, options: OutboundOptions) -> Self {
        Self {
            tag,
            response: options.response,
        }
    }
}

impl link::Outbound for Outbound {
    fn tag(&self) -> &str {
        &self.tag
    }

    fn connect(&self, _request: &Request) -> Result<Link, DispatchError> {
        match self.response {
            Response::None => Err(REFUSED),
            Response::Http => Ok(Link::new(Answer(Some(FORBIDDEN)), Nowhere)),
        }
    }

    fn dispatch(&self, _request: &Request, mut link: Link) -> Result<(), DispatchError> {
        match self.response {
            Response::None => {
                link.writer.abort();
                Err(REFUSED)
            }
            Response::Http => {
                let (reader, writer) = (link.reader.as_mut(), link.writer.as_mut());
                Ok(part(reader, writer, FORBIDDEN, PARTING)?)
            }
        }
    }
}

/// Delivers a fixed text, and the end.
struct Answer(Option<&'static [u8]>);

impl Reader for Answer {
    fn read(&mut self) -> ReadResult {
        Ok(self.0.take().map(Buf::copy_of))
    }

    fn read_timeout(&mut self, _wait: Duration) -> ReadResult {
        self.read()
    }

    fn handle(&self) -> Handle {
        Nowhere::handle()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::link::{LinkError, Outbound as _, pair};
    use crate::net::Destination;

    fn outbound(response: Response) -> (Outbound, Request) {
        let options = OutboundOptions { response };
        let request = Request::new(Destination::tcp("example.com", 80).unwrap());
        (Outbound::new("b".into(), options), request)
    }

    fn read_to_end(reader: &mut dyn Reader) -> Result<Vec<u8>, LinkError> {
        let mut text = Vec::new();
        while let Some(buf) = reader.read_timeout(Duration::from_secs(10))? {
            text.extend_from_slice(buf.as_slice());
        }
        Ok(text)
    }

    #[test]
    fn by_default_the_visitor_sees_an_error_and_no_end() {
        let (outbound, request) = outbound(Response::None);
        let (near, mut far) = pair(1024);
        let refused = outbound.dispatch(&request, near);
        assert!(matches!(refused, Err(DispatchError::Refused(_))));
        assert!(matches!(far.reader.read(), Err(LinkError::Reset)));
        assert!(outbound.connect(&request).is_err());
    }

    #[test]
    fn the_answer_arrives_and_ends_as_soon_as_the_visitor_does() {
        let (outbound, request) = outbound(Response::Http);
        let (near, mut far) = pair(1024);
        far.writer
            .write(&mut [Buf::copy_of(b"GET /")].into())
            .unwrap();
        let serving = thread::spawn(move || outbound.dispatch(&request, near));
        let text = read_to_end(far.reader.as_mut()).unwrap();
        let expected = "HTTP/1.1 403 Forbidden\nConnection: close\n\
            Cache-Control: max-age=3600, public\nContent-Length: 0\n\n\n";
        assert_eq!(text, expected.as_bytes());
        far.writer.close().unwrap();
        serving.join().unwrap().unwrap();
    }

    #[test]
    fn who_speaks_on_the_link_gets_the_answer_too() {
        let (outbound, request) = outbound(Response::Http);
        let mut link = outbound.connect(&request).unwrap();
        link.writer
            .write(&mut [Buf::copy_of(b"GET /")].into())
            .unwrap();
        assert_eq!(read_to_end(link.reader.as_mut()).unwrap(), FORBIDDEN);
    }
}
