"""The compatibility test's reader of generated Rust sees what is there and stops at what it does not know."""

from __future__ import annotations

import pytest

from tests.compat import prost, schema
from tests.compat.schema import Field, Schema

SOURCE = """
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Wrap {
    /// A comment.
    #[prost(string, optional, tag = "3")]
    pub username: ::core::option::Option<::prost::alloc::string::String>,
    #[prost(map = "string, bytes", tag = "4")]
    pub data:
        ::std::collections::HashMap<::prost::alloc::string::String, ::prost::alloc::vec::Vec<u8>>,
    #[prost(message, repeated, tag = "5")]
    pub inner: ::prost::alloc::vec::Vec<wrap::Inner>,
    #[prost(enumeration = "Kind", tag = "6")]
    pub kind: i32,
    #[prost(oneof = "wrap::Place", tags = "1, 2")]
    pub place: ::core::option::Option<wrap::Place>,
}
/// Nested message and enum types in `Wrap`.
pub mod wrap {
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct Inner {}
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Place {
        #[prost(message, tag = "1")]
        XdpInfo(super::Empty),
        #[prost(string, tag = "2")]
        File(::prost::alloc::string::String),
    }
}
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Empty {}
#[derive(Clone, Copy, ::prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    Xdp = 0,
}
impl Kind {
    pub fn as_str_name(&self) -> &'static str {
        match self {
            Kind::Xdp => "XDP",
        }
    }
}
"""


def test_every_kind_of_field_is_read():
    found = prost.parse(SOURCE, "p")
    assert found.messages["p.Wrap"] == {
        Field(name="username", number=3, type="string", label="optional"),
        Field(name="data", number=4, type="map<string, bytes>"),
        Field(name="inner", number=5, type="p.Wrap.Inner", label="repeated"),
        Field(name="kind", number=6, type="p.Kind"),
        Field(name="xdp_info", number=1, type="p.Empty", oneof="place"),
        Field(name="file", number=2, type="string", oneof="place"),
    }
    assert set(found.messages) == {"p.Wrap", "p.Wrap.Inner", "p.Empty"}
    assert found.enums == {"p.Kind": {("XDP", 0)}}


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('optional, tag = "3"', 'sideways, tag = "3"'),
        ("pub username:", "username:"),
        ('tags = "1, 2"', 'tags = "1, 2, 3"'),
        ("XdpInfo(super::Empty)", "XdpInfo(super::Missing)"),
    ],
    ids=["unknown word", "unknown line", "member without oneof", "unknown type"],
)
def test_what_is_not_understood_is_an_error(good, bad):
    assert good in SOURCE
    with pytest.raises(ValueError):
        prost.parse(SOURCE.replace(good, bad), "p")


@pytest.mark.parametrize(
    ("given", "rust"),
    [("p.XDPAttachInfo", "p.XdpAttachInfo"), ("p.TCXInfo", "p.TcxInfo"), ("p.GetResponse", "p.GetResponse")],
)
def test_names_are_spelled_as_prost_does(given, rust):
    empty = Schema(messages={given: frozenset()}, enums={}, services={})
    assert list(prost.spelled(empty).messages) == [rust]


def test_a_changed_number_is_a_difference_on_both_sides():
    one = Field(name="id", number=1, type="uint32")
    two = Field(name="id", number=2, type="uint32")
    ours = Schema(messages={"p.M": frozenset({one})}, enums={}, services={})
    theirs = Schema(messages={"p.M": frozenset({two})}, enums={}, services={})
    assert schema.differences(ours, theirs) == (f"+ p.M: {one}", f"- p.M: {two}")
