//! Messages between sites as bytes: what is written comes back, and whatever else is an error that says why. Use when `bundle` changes.

mod strategies;

use gundb_core::bundle::*;
use proptest::prelude::*;
use strategies::cases;
use strategies::wire::*;

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn a_bundle_comes_back_from_its_bytes_whatever_the_compression(bundle in any_bundle(), level in 0..4i32) {
        prop_assert_eq!(decode_bundle(&encode_bundle(&bundle, level), &WireLimits::default()), Ok(bundle));
    }

    #[test]
    fn a_hello_comes_back_from_its_bytes(hello in any_hello()) {
        prop_assert_eq!(decode_hello(&encode_hello(&hello), &WireLimits::default()), Ok(hello));
    }

    #[test]
    fn a_receipt_comes_back_from_its_bytes(receipt in any_receipt()) {
        prop_assert_eq!(decode_receipt(&encode_receipt(&receipt), &WireLimits::default()), Ok(receipt));
    }
}
