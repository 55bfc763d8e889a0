use equipoise_core::strategy::by_name::{Kind, Preset, StrategyDefinition};

/// Returns the text of a strategy with only the required parameters.
pub(crate) fn smallest(definition: &StrategyDefinition) -> String {
    let mut arguments: Vec<String> = definition.wraps().then(|| "p2c".to_owned()).into_iter().collect();
    for (at, parameter) in definition.parameters().iter().enumerate() {
        if parameter.preset() == Preset::Required {
            let value = if parameter.kind() == Kind::Text { "here".to_owned() } else { (at + 1).to_string() };
            arguments.push(format!("{}={value}", parameter.name()));
        }
    }
    if arguments.is_empty() {
        definition.name().to_owned()
    } else {
        format!("{}({})", definition.name(), arguments.join(", "))
    }
}
