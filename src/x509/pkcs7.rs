//! Degenerate PKCS#7: a SignedData that signs nothing and only carries certificates (RFC 5652, 5; RFC 2315, 9).

use super::der::{SET, context_constructed, write};

/// 1.2.840.113549.1.7.2 and 1.2.840.113549.1.7.1, encoded.
const SIGNED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];

/// The certificates (DER) as a `.p7b` file in DER, in the order given: readers keep it, so the issuing authority
/// comes first, as in a chain.
pub fn bundle(certificates: &[&[u8]]) -> Vec<u8> {
    let version = write::unsigned_integer(&[1]);
    let digest_algorithms = write::element(SET, &[]);
    let content = write::sequence(&[DATA]);
    let carried = write::constructed(context_constructed(0), certificates);
    let signer_infos = write::element(SET, &[]);
    let signed_data = write::sequence(&[&version, &digest_algorithms, &content, &carried, &signer_infos]);
    write::sequence(&[SIGNED_DATA, &write::element(context_constructed(0), &signed_data)])
}

#[cfg(test)]
mod tests {
    use super::super::der::{self, SEQUENCE};
    use super::super::{oid, pem, testing};
    use super::*;

    #[test]
    fn certificates_come_out_as_they_went_in() {
        let certificate = pem::decode_all("CERTIFICATE", testing::CONTRACT_CERTIFICATE).unwrap().remove(0);
        let bundle = bundle(&[&certificate, &certificate]);
        let outer = der::single(&bundle, SEQUENCE, "").unwrap();
        assert!(outer.value.starts_with(SIGNED_DATA));
        let found = bundle.windows(certificate.len()).filter(|window| *window == certificate).count();
        assert_eq!(found, 2);
        assert_eq!(SIGNED_DATA, der::write::object_identifier("1.2.840.113549.1.7.2").unwrap());
        assert_eq!(DATA, der::write::object_identifier("1.2.840.113549.1.7.1").unwrap());
        assert_eq!(oid::name("1.2.840.113549.1.7.1"), "1.2.840.113549.1.7.1");
    }
}
