//! Asking as a relying party does: for `doctor`, and for tests.

use crate::domain::serial::SerialNumber;

use super::super::der::{context_constructed, write};
use super::super::error::X509Error;
use super::super::{extension, oid};
use super::issuer::IssuerHashes;

/// The OCSPRequest in DER about these certificates of one authority.
pub fn request(
    authority: &IssuerHashes,
    serials: &[&SerialNumber],
    nonce: Option<&[u8]>,
) -> Result<Vec<u8>, X509Error> {
    let mut asked = Vec::new();
    for serial in serials {
        asked.extend(write::sequence(&[&authority.cert_id(serial)?]));
    }
    let extensions = match nonce {
        Some(nonce) => {
            let nonce = extension::write(oid::OCSP_NONCE, false, &write::octet_string(nonce))?;
            write::element(context_constructed(2), &write::sequence(&[&nonce]))
        }
        None => Vec::new(),
    };
    Ok(write::sequence(&[&write::sequence(&[&write::sequence(&[&asked]), &extensions])]))
}

#[cfg(test)]
mod tests {
    use super::super::super::{pem, testing};
    use super::super::request::read;
    use super::*;

    #[test]
    fn what_is_asked_is_understood() {
        let hashes =
            IssuerHashes::of(&pem::decode_all("CERTIFICATE", testing::CONTRACT_CERTIFICATE).unwrap()[0]).unwrap();
        let serials = [1_u8, 0x80].map(|octet| SerialNumber::from_be_bytes(&[octet]).unwrap());
        for nonce in [None, Some(&[7_u8; 16][..])] {
            let der = request(&hashes, &serials.each_ref(), nonce).unwrap();
            let read = read(&der).unwrap();
            assert_eq!(read.nonce, nonce);
            assert!(read.certificates.iter().all(|cert_id| hashes.form_of(cert_id).is_some()));
            let asked: Vec<_> = read.certificates.iter().filter_map(|cert_id| cert_id.serial.clone()).collect();
            assert_eq!(asked, serials);
        }
    }
}
