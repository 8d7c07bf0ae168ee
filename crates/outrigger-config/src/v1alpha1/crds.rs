//! The custom resource definitions, complete: schema, caps and rules.

use super::{ModelRoute, ProviderKey, rules, rules::Rule};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};
use kube::core::CustomResourceExt;

/// The definitions of `ModelRoute` and `ProviderKey`, as they are installed into a cluster. Their schemas carry every cap and every rule.
pub fn crds() -> [CustomResourceDefinition; 2] {
    [
        complete(ModelRoute::crd(), rules::MODEL_ROUTE),
        complete(ProviderKey::crd(), rules::PROVIDER_KEY),
    ]
}

/// The schema of a definition's only version.
pub(crate) fn schema(crd: &CustomResourceDefinition) -> Option<&JSONSchemaProps> {
    crd.spec.versions.first()?.schema.as_ref()?.open_api_v3_schema.as_ref()
}

fn complete(mut crd: CustomResourceDefinition, rules: &[Rule]) -> CustomResourceDefinition {
    let schema = crd
        .spec
        .versions
        .first_mut()
        .and_then(|version| version.schema.as_mut())
        .and_then(|schema| schema.open_api_v3_schema.as_mut());
    if let Some(schema) = schema {
        plain(schema);
        for rule in rules {
            for place in rule.at {
                if let Some(schema) = at(schema, place) {
                    schema.x_kubernetes_validations.get_or_insert_default().push(validation(rule));
                }
            }
        }
    }
    crd
}

fn validation(rule: &Rule) -> ValidationRule {
    ValidationRule {
        field_path: (!rule.blame.is_empty()).then(|| format!(".{}", rule.blame)),
        message: Some(rule.sentence()),
        rule: rule.cel(),
        ..ValidationRule::default()
    }
}

/// The schema at a rule's place; a test finds every place of the tables.
pub(super) fn at<'a>(schema: &'a mut JSONSchemaProps, place: &str) -> Option<&'a mut JSONSchemaProps> {
    place.split('.').try_fold(schema, |schema, step| {
        let (name, members) = match step.strip_suffix("[]") {
            Some(name) => (name, true),
            None => (step, false),
        };
        let field = schema.properties.as_mut()?.get_mut(name)?;
        if !members {
            return Some(field);
        }
        match field.items.as_mut()? {
            JSONSchemaPropsOrArray::Schema(members) => Some(members.as_mut()),
            JSONSchemaPropsOrArray::Schemas(_) => None,
        }
    })
}

/// Removes what the generator adds and the API server has no use for: `nullable` (an absent field is the only way to say nothing; a null
/// would slip past the rules) and the formats of unsigned integers, which `kubectl` warns of.
fn plain(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if schema.format.as_deref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = Some("int64".to_owned());
    }
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        plain(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(members)) = &mut schema.items {
        plain(members);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        plain(values);
    }
}
