//! Ages, and the table of arguments.

use std::time::Duration;

use super::*;

#[test]
fn ages_are_a_number_and_a_unit() {
    assert_eq!(age("7D"), Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(age("1M"), Some(Duration::from_secs(30 * 86_400)));
    assert_eq!(age("90s"), Some(Duration::from_secs(90)));
    for wrong in ["", "7", "D", "7d", "-1s", "99999999999999999999s", "é"] {
        assert_eq!(age(wrong), None, "{wrong}");
    }
}

#[test]
fn every_argument_has_a_type_of_queue_and_one_row() {
    for (at, argument) in ARGUMENTS.iter().enumerate() {
        assert!(!argument.types.is_empty() && argument.types.chars().all(|of| "CQS".contains(of)));
        let same = ARGUMENTS.iter().filter(|other| other.name == argument.name);
        assert_eq!(same.count(), 1, "{} at {at}", argument.name);
    }
}

#[test]
fn a_queue_keeps_the_arguments_it_was_declared_with() {
    let arguments = Table::new()
        .with("x-max-length", Value::U16(3))
        .with("mine", Value::Array(vec![Value::Void]));
    let wanted = Wanted {
        namespace: "/",
        name: "q",
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: &arguments,
    };
    let settings = wanted.settings(wanted.check().unwrap());
    assert_eq!(arguments_of(&settings), arguments);
    assert_eq!(settings.length_max, Some(3));
    assert!(wanted.compare(&settings).is_ok());
}
