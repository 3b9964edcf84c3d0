//! Decimals against PostgreSQL. Use when anything in `decimal` changes.

use gundb_core::Decimal;

/// `sum count average` a line, as PostgreSQL 15 printed them: `SELECT s, c, trim_scale(s / c)`.
const AVERAGES: &str = include_str!("golden/averages.txt");

#[test]
fn averages_are_what_numeric_gives() {
    for line in AVERAGES.lines() {
        let [sum, count, average] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let sum: Decimal = sum.parse().unwrap();
        assert_eq!(sum.average(count.parse().unwrap()).unwrap().to_string(), average, "{line}");
    }
}
