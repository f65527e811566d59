//! Distinguished names, kept byte for byte and read only for policy and for display.

/// A distinguished name: the DER that is carried unchanged, and its attributes in the order they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// The RDNSequence in DER.
    pub der: Vec<u8>,
    pub attributes: Vec<NameAttribute>,
}

/// One attribute of a distinguished name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAttribute {
    /// Which RDN it stands in, from 0; attributes of a multi-valued RDN share it.
    pub rdn: usize,
    /// The type as a dotted OID, such as `2.5.4.3`.
    pub oid: String,
    /// The decoded text.
    pub value: String,
    /// How the text was encoded.
    pub encoding: StringEncoding,
}

/// ASN.1 string types that names use (RFC 5280, 4.1.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringEncoding {
    Utf8,
    Printable,
    Ia5,
    Numeric,
    Teletex,
    Bmp,
    Universal,
}

/// Attribute types that profiles and the wire contract speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttributeType {
    CommonName,
    Organization,
    OrganizationalUnit,
    Country,
    State,
    Locality,
    SerialNumber,
    EmailAddress,
    DomainComponent,
    UserId,
    GivenName,
    Surname,
    Title,
}

/// Type, dotted OID, key in profiles, short name in RFC 4514 strings, upper bound in characters (RFC 5280, appendix A).
const ATTRIBUTES: [(AttributeType, &str, &str, &str, usize); 13] = [
    (AttributeType::CommonName, "2.5.4.3", "common_name", "CN", 64),
    (AttributeType::Organization, "2.5.4.10", "organization", "O", 64),
    (AttributeType::OrganizationalUnit, "2.5.4.11", "organizational_unit", "OU", 64),
    (AttributeType::Country, "2.5.4.6", "country", "C", 2),
    (AttributeType::State, "2.5.4.8", "state", "ST", 128),
    (AttributeType::Locality, "2.5.4.7", "locality", "L", 128),
    (AttributeType::SerialNumber, "2.5.4.5", "serial_number", "serialNumber", 64),
    (AttributeType::EmailAddress, "1.2.840.113549.1.9.1", "email_address", "emailAddress", 255),
    (AttributeType::DomainComponent, "0.9.2342.19200300.100.1.25", "domain_component", "DC", 63),
    (AttributeType::UserId, "0.9.2342.19200300.100.1.1", "user_id", "UID", 256),
    (AttributeType::GivenName, "2.5.4.42", "given_name", "GN", 32768),
    (AttributeType::Surname, "2.5.4.4", "surname", "SN", 32768),
    (AttributeType::Title, "2.5.4.12", "title", "title", 64),
];

impl AttributeType {
    pub fn from_oid(oid: &str) -> Option<Self> {
        ATTRIBUTES.iter().find(|entry| entry.1 == oid).map(|entry| entry.0)
    }

    pub fn oid(self) -> &'static str {
        self.entry().1
    }

    pub fn key(self) -> &'static str {
        self.entry().2
    }

    pub fn short_name(self) -> &'static str {
        self.entry().3
    }

    /// The most characters RFC 5280 allows (its ub-… bounds; DNS label and LDAP bounds where it has none).
    pub fn max_length(self) -> usize {
        self.entry().4
    }

    /// The variants stand in the order of the table, which a test holds; the first entry is never reached otherwise.
    fn entry(self) -> &'static (AttributeType, &'static str, &'static str, &'static str, usize) {
        let [first, ..] = &ATTRIBUTES;
        ATTRIBUTES.get(self as usize).unwrap_or(first)
    }
}

impl Name {
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    /// All values of one type, in order.
    pub fn values(&self, attribute: AttributeType) -> impl Iterator<Item = &str> {
        self.attributes.iter().filter(move |a| a.oid == attribute.oid()).map(|a| a.value.as_str())
    }

    /// The values of one type joined with `,`, as CFSSL does; empty when there is none (wire contract, 1.5).
    pub fn joined(&self, attribute: AttributeType) -> String {
        self.values(attribute).collect::<Vec<_>>().join(",")
    }
}

impl std::fmt::Display for Name {
    /// For people: `CN=device, O=Example`, in the order it stands; special characters escaped as in RFC 4514.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut previous: Option<&NameAttribute> = None;
        for attribute in &self.attributes {
            if let Some(previous) = previous.replace(attribute) {
                formatter.write_str(if previous.rdn == attribute.rdn { "+" } else { ", " })?;
            }
            let known = AttributeType::from_oid(&attribute.oid);
            let label = known.map_or(attribute.oid.as_str(), |known| known.short_name());
            write!(formatter, "{label}={}", escape(&attribute.value))?;
        }
        Ok(())
    }
}

fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_enum() {
        for (index, entry) in ATTRIBUTES.iter().enumerate() {
            assert_eq!(entry.0 as usize, index);
            assert_eq!(AttributeType::from_oid(entry.1), Some(entry.0));
            assert_eq!(entry.0.key(), entry.2);
        }
    }

    #[test]
    fn several_values_are_joined_with_a_comma() {
        let unit = |value: &str, rdn| NameAttribute {
            rdn,
            oid: "2.5.4.11".into(),
            value: value.into(),
            encoding: StringEncoding::Utf8,
        };
        let name = Name { der: vec![], attributes: vec![unit("a", 0), unit("b", 1)] };
        assert_eq!(name.joined(AttributeType::OrganizationalUnit), "a,b");
        assert_eq!(name.joined(AttributeType::CommonName), "");
        assert_eq!(name.to_string(), "OU=a, OU=b");
    }
}
