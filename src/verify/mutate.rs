//! Negative controls: small mistakes put into a shader's text, which a check that deserves its name must notice.

use naga::valid::{Capabilities, FunctionInfo, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, BinaryOperator, Block, Expression, Function, Handle, Literal, ScalarKind, Statement};

use crate::core::shader::Shader;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// What stands in the text now.
    pub now: String,
    /// What stood there.
    pub was: String,
    /// The whole module with the mistake.
    pub source: String,
}

/// Every mistake of two kinds: a stored value times 1 + 2^-6 (integers: plus 1), and an integer bound off by one (the
/// last element left out; where the bound guards an early return, also one element too many).
pub fn mutations(shader: &Shader) -> Vec<Mutation> {
    let module = &shader.module;
    let info: ModuleInfo =
        Validator::new(ValidationFlags::all(), Capabilities::empty()).validate(module).expect("parsed and validated before");
    let mut edits = Vec::new();
    for (handle, function) in module.functions.iter() {
        find(shader, function, &info[handle], &mut edits);
    }
    find(shader, &module.entry_points[0].function, info.get_entry_point(0), &mut edits);
    let apply = |(range, now): &(std::ops::Range<usize>, String)| {
        let mut source = shader.source.clone();
        source.replace_range(range.clone(), now);
        Mutation { now: now.clone(), was: shader.source[range.clone()].into(), source }
    };
    edits.sort_by_key(|(range, _): &Edit| range.start);
    edits.iter().map(apply).collect()
}

type Edit = (std::ops::Range<usize>, String);

fn find(shader: &Shader, function: &Function, info: &FunctionInfo, edits: &mut Vec<Edit>) {
    let constant = |e: Handle<Expression>| matches!(function.expressions[e], Expression::Literal(_) | Expression::Constant(_));
    let bound = |handle: Handle<Expression>| {
        let Expression::Binary { op, left, right } = function.expressions[handle] else { return None };
        let ordering =
            matches!(op, BinaryOperator::Less | BinaryOperator::LessEqual | BinaryOperator::Greater | BinaryOperator::GreaterEqual);
        let integer = matches!(info[left].ty.inner_with(&shader.module.types).scalar_kind(), Some(ScalarKind::Uint));
        // Loops over a tile's constant size are not bounds of the data.
        if !ordering || !integer || constant(left) || constant(right) {
            return None;
        }
        let range = function.expressions.get_span(handle).to_range()?;
        shift_bound(&shader.source, range, "(L) + 1u OP (R)")
    };
    visit(function, &function.body, &mut |statement, span| match statement {
        Statement::Emit(expressions) => edits.extend(expressions.clone().filter_map(bound)),
        Statement::Store { pointer, value } if is_storage(shader, function, *pointer) => {
            let float = matches!(info[*value].ty.inner_with(&shader.module.types).scalar_kind(), Some(ScalarKind::Float));
            edits.extend(span.to_range().and_then(|range| scale_store(&shader.source, range, float)));
        }
        Statement::If { condition, accept, .. } if matches!(accept.last(), Some(Statement::Return { .. })) => {
            if let Expression::Binary { op: BinaryOperator::GreaterEqual, right, .. } = function.expressions[*condition]
                && !constant(right)
                && let Some(range) = function.expressions.get_span(*condition).to_range()
            {
                edits.extend(shift_bound(&shader.source, range, "(L) > (R)"));
            }
        }
        _ => {}
    });
}

/// Calls `f` for every statement but those behind a condition that is false by constants alone: a mistake there does
/// nothing.
fn visit(function: &Function, block: &Block, f: &mut impl FnMut(&Statement, naga::Span)) {
    for (statement, span) in block.span_iter() {
        f(statement, *span);
        match statement {
            Statement::Block(inner) => visit(function, inner, f),
            Statement::If { condition, accept, reject } => {
                let known = match function.expressions[*condition] {
                    Expression::Literal(Literal::Bool(known)) => Some(known),
                    _ => None,
                };
                let live = [(true, accept), (false, reject)].into_iter().filter(|(side, _)| known.is_none_or(|known| known == *side));
                live.for_each(|(_, block)| visit(function, block, f));
            }
            Statement::Loop { body, continuing, .. } => [body, continuing].into_iter().for_each(|b| visit(function, b, f)),
            _ => {}
        }
    }
}

fn is_storage(shader: &Shader, function: &Function, mut pointer: Handle<Expression>) -> bool {
    loop {
        pointer = match function.expressions[pointer] {
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => base,
            Expression::GlobalVariable(global) => {
                return matches!(shader.module.global_variables[global].space, AddressSpace::Storage { .. });
            }
            _ => return false,
        };
    }
}

/// Byte position of the first of `tokens` outside brackets, with the token.
fn find_outside<'a>(text: &str, tokens: &[&'a str]) -> Option<(usize, &'a str)> {
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            _ if depth == 0 => {
                if let Some(token) = tokens.iter().find(|t| text[i..].starts_with(**t)) {
                    return Some((i, token));
                }
            }
            _ => {}
        }
    }
    None
}

fn shift_bound(source: &str, range: std::ops::Range<usize>, pattern: &str) -> Option<Edit> {
    let text = &source[range.clone()];
    let (at, operator) = find_outside(text, &["<=", ">=", "<", ">"])?;
    let (left, right) = (text[..at].trim(), text[at + operator.len()..].trim());
    let now: String = pattern
        .chars()
        .map(|c| {
            if c == 'L' {
                left.into()
            } else if c == 'R' {
                right.into()
            } else {
                c.to_string()
            }
        })
        .collect();
    Some((range, now.replace("OP", operator)))
}

fn scale_store(source: &str, range: std::ops::Range<usize>, float: bool) -> Option<Edit> {
    let text = source[range.clone()].trim_end_matches(';');
    let (at, operator) = find_outside(text, &["+=", "-=", "="])?;
    let (target, value) = (text[..at].trim(), text[at + operator.len()..].trim());
    let now = match (value, float) {
        ("0.0", _) => "1.0".into(),
        (_, true) => format!("({value}) * 1.015625"),
        (_, false) => format!("({value}) + 1u"),
    };
    Some((range.start..range.start + text.len(), format!("{target} {operator} {now}")))
}

#[cfg(test)]
mod tests {
    use crate::kernels::KERNELS;

    #[test]
    fn every_shader_has_mutations_and_all_of_them_parse() {
        for entry in KERNELS {
            let mut arena = crate::core::buffer::Arena::guarded(0, 64);
            let program = entry.record(&mut arena).expect("cases are valid");
            let kernel = &program.calls[0].kernel;
            let shader = kernel.shader(&kernel.variants()[0]);
            let found = super::mutations(shader);
            assert!(found.iter().any(|m| m.now.contains("* 1.015625") || m.now.contains("+ 1u")), "{}: no store is mutated", entry.name);
            for mutation in found {
                assert_ne!(mutation.source, shader.source);
                naga::front::wgsl::parse_str(&mutation.source).unwrap_or_else(|e| panic!("{}: `{}`: {e}", entry.name, mutation.now));
            }
        }
    }
}
