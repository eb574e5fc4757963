//! Declarations of C headers, as clang reports them in JSON.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// The compiler and how to start it.
pub struct Clang {
    /// Words before the compiler's own name: a container or another root with the headers.
    pub prefix: Vec<String>,
    pub program: String,
    pub include: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Node {
    id: String,
    kind: String,
    name: String,
    #[serde(rename = "type")]
    ty: Type,
    value: serde_json::Value,
    #[serde(rename = "isBitfield")]
    bits: bool,
    #[serde(rename = "ownedTagDecl")]
    owned: Option<Box<Node>>,
    inner: Vec<Node>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Type {
    #[serde(rename = "qualType")]
    spelled: String,
}

/// A declared type.
#[derive(Debug, Clone, PartialEq)]
pub enum Declared {
    /// Names and values, in the order of the header.
    Enum(Vec<(String, i64)>),
    /// Names and C types of the fields.
    Struct(Vec<(String, String)>),
    /// A struct that the headers only hand out pointers to, or one of bit fields.
    Opaque,
    /// Another name for a C type.
    Alias(String),
}

/// What some headers declare.
#[derive(Debug, Default)]
pub struct Headers {
    types: HashMap<String, Declared>,
    /// Parameters (name, C type) and the C type of the result.
    functions: HashMap<String, Signature>,
}

/// A function's parameters, by name and C type, and the C type of its result.
#[derive(Debug, Clone)]
pub struct Signature {
    pub parameters: Vec<(String, String)>,
    pub result: String,
}

impl Headers {
    /// The declaration of a type.
    pub fn declared(&self, name: &str) -> Result<&Declared> {
        self.types.get(name).with_context(|| format!("the headers declare no type `{name}`"))
    }

    /// The declaration of a function.
    pub fn function(&self, name: &str) -> Result<&Signature> {
        self.functions.get(name).with_context(|| format!("the headers declare no function `{name}`"))
    }
}

impl Clang {
    /// Starts the compiler on C from its standard input.
    fn run(&self, source: &str, flags: &[&str]) -> Result<Vec<u8>> {
        let words: Vec<&str> = self.prefix.iter().chain([&self.program]).map(String::as_str).collect();
        let (first, rest) = words.split_first().context("no compiler named")?;
        let mut command = Command::new(first);
        command.args(rest).args(["-x", "c", "-std=c11", "-D__HIP_PLATFORM_AMD__", "-fsyntax-only"]);
        command.args(self.include.iter().map(|dir| format!("-I{dir}"))).args(flags).arg("-");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {first}"))?;
        child.stdin.take().context("no pipe")?.write_all(source.as_bytes()).context("the compiler reads no source")?;
        let output = child.wait_with_output()?;
        let name = Path::new(&self.program).display();
        ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }

    fn ast(&self, source: &str) -> Result<Node> {
        let json = self.run(source, &["-Xclang", "-ast-dump=json"])?;
        serde_json::from_slice(&json).context("the compiler's syntax tree")
    }

    /// All declarations of some headers.
    pub fn headers(&self, headers: &[&str]) -> Result<Headers> {
        Ok(collect(&self.ast(&includes(headers))?))
    }

    /// Values of constant C expressions, in their order.
    pub fn evaluate(&self, headers: &[&str], expressions: &[String]) -> Result<Vec<i64>> {
        let mut source = includes(headers) + "#include <stddef.h>\nenum rf_values {\n";
        for (i, expression) in expressions.iter().enumerate() {
            source += &format!("rf_value_{i} = ({expression}),\n");
        }
        source += "};\n";
        let tree = self.ast(&source)?;
        let values = tree.inner.iter().find(|node| node.name == "rf_values").context("no values in the syntax tree")?;
        let values: Vec<i64> = enumerators(values).into_iter().map(|(_, value)| value).collect();
        ensure!(values.len() == expressions.len(), "{} values for {} expressions", values.len(), expressions.len());
        Ok(values)
    }

    /// Checks C that consists of headers and assertions; the error holds what the compiler says.
    pub fn check(&self, headers: &[&str], assertions: &str) -> Result<()> {
        self.run(&(includes(headers) + "#include <stddef.h>\n" + assertions), &[]).map(drop)
    }
}

fn includes(headers: &[&str]) -> String {
    headers.iter().map(|header| format!("#include <{header}>\n")).collect()
}

fn collect(tree: &Node) -> Headers {
    let mut headers = Headers::default();
    let mut tags: HashMap<&str, Declared> = HashMap::new();
    for node in &tree.inner {
        match node.kind.as_str() {
            "EnumDecl" | "RecordDecl" => {
                let declared = tag(node);
                // A declaration ahead of the definition comes first and must not replace it.
                if declared != Declared::Opaque || !headers.types.contains_key(&node.name) {
                    headers.types.insert(node.name.clone(), declared.clone());
                }
                tags.insert(&node.id, declared);
            }
            "TypedefDecl" => {
                let owned = node.inner.first().and_then(|elaborated| elaborated.owned.as_deref());
                let nameless = owned.filter(|tag| tag.name.is_empty()).and_then(|tag| tags.get(tag.id.as_str()));
                let spelled = node.ty.spelled.as_str();
                let same = spelled.trim_start_matches("enum ").trim_start_matches("struct ") == node.name;
                match nameless {
                    Some(declared) if !spelled.contains('*') => {
                        headers.types.insert(node.name.clone(), declared.clone());
                    }
                    _ if same => {}
                    _ => {
                        headers.types.insert(node.name.clone(), Declared::Alias(spelled.into()));
                    }
                }
            }
            "FunctionDecl" => {
                if let Some(signature) = signature(node) {
                    headers.functions.insert(node.name.clone(), signature);
                }
            }
            _ => {}
        }
    }
    headers
}

fn tag(node: &Node) -> Declared {
    if node.kind == "EnumDecl" {
        return Declared::Enum(enumerators(node));
    }
    let fields: Vec<&Node> = node.inner.iter().filter(|n| n.kind == "FieldDecl").collect();
    if fields.is_empty() || fields.iter().any(|field| field.bits) {
        return Declared::Opaque;
    }
    Declared::Struct(fields.iter().map(|field| (field.name.clone(), field.ty.spelled.clone())).collect())
}

fn enumerators(node: &Node) -> Vec<(String, i64)> {
    let mut next = 0;
    let constants = node.inner.iter().filter(|n| n.kind == "EnumConstantDecl");
    constants
        .map(|constant| {
            let value = constant.inner.iter().find(|n| n.kind == "ConstantExpr" || n.kind == "ImplicitCastExpr");
            let value = value.and_then(number).unwrap_or(next);
            next = value + 1;
            (constant.name.clone(), value)
        })
        .collect()
}

/// The value that clang computed for an expression; a cast holds it further in.
fn number(node: &Node) -> Option<i64> {
    let own = node.value.as_str().and_then(|text| text.parse().ok());
    own.or_else(|| node.inner.iter().find_map(number))
}

fn signature(node: &Node) -> Option<Signature> {
    let result = node.ty.spelled.split_once('(')?.0.trim().to_string();
    let parameters = node.inner.iter().filter(|n| n.kind == "ParmVarDecl");
    Some(Signature { parameters: parameters.map(|p| (p.name.clone(), p.ty.spelled.clone())).collect(), result })
}

/// Splits a command prefix at spaces.
pub fn words(prefix: &str) -> Result<Vec<String>> {
    let words: Vec<String> = prefix.split_whitespace().map(str::to_string).collect();
    if prefix.contains(['"', '\'']) {
        bail!("a prefix is split at spaces, quotes are not understood: {prefix}");
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_json(json: &str) -> Headers {
        collect(&serde_json::from_str(json).expect("a syntax tree"))
    }

    #[test]
    fn enumerators_without_a_value_count_on() {
        let headers = from_json(
            r#"{"inner":[{"kind":"EnumDecl","name":"e","inner":[
                {"kind":"EnumConstantDecl","name":"a"},
                {"kind":"EnumConstantDecl","name":"b","inner":[{"kind":"ConstantExpr","value":"7"}]},
                {"kind":"EnumConstantDecl","name":"c"}]}]}"#,
        );
        let values = vec![("a".into(), 0), ("b".into(), 7), ("c".into(), 8)];
        assert_eq!(headers.declared("e").expect("declared"), &Declared::Enum(values));
    }

    #[test]
    fn a_nameless_struct_takes_the_name_of_its_typedef() {
        let headers = from_json(
            r#"{"inner":[
                {"kind":"RecordDecl","id":"1","inner":[{"kind":"FieldDecl","name":"x","type":{"qualType":"int"}}]},
                {"kind":"TypedefDecl","name":"point","type":{"qualType":"struct point"},
                 "inner":[{"ownedTagDecl":{"id":"1","name":""}}]}]}"#,
        );
        assert_eq!(headers.declared("point").expect("declared"), &Declared::Struct(vec![("x".into(), "int".into())]));
    }

    #[test]
    fn a_forward_declaration_does_not_hide_the_definition() {
        let field = r#"{"kind":"FieldDecl","name":"x","type":{"qualType":"int"}}"#;
        let headers = from_json(&format!(
            r#"{{"inner":[{{"kind":"RecordDecl","name":"s","inner":[{field}]}},{{"kind":"RecordDecl","name":"s"}}]}}"#
        ));
        assert!(matches!(headers.declared("s").expect("declared"), Declared::Struct(_)));
    }
}
