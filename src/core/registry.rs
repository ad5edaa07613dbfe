//! Choices, known by their names in settings, checkpoints and on the command line: entries of a registry, or variants of an `enum`.

/// Declares `$handle`, a copyable entry of `$registry`, which is a list of statics that implement `$entry`. That trait has
/// `name`, `help` and `settings`, which are the names of the settings that mean something to that entry and not to all.
#[macro_export]
macro_rules! choice {
    ($(#[$about:meta])* $handle:ident of dyn $entry:path, $registry:ident: $($constant:ident = $place:expr),+ $(,)?) => {
        $(#[$about])*
        #[derive(Clone, Copy)]
        pub struct $handle(&'static dyn $entry);

        /// All entries, in the order of `--help`.
        pub static $registry: &[$handle] = &[$($handle(&$place)),+];

        impl $handle {
            $(pub const $constant: Self = $handle(&$place);)+

            /// The entry of this name.
            pub fn named(name: &str) -> Option<Self> {
                $registry.iter().copied().find(|entry| entry.name() == name)
            }
        }

        impl std::ops::Deref for $handle {
            type Target = dyn $entry;

            fn deref(&self) -> &Self::Target {
                self.0
            }
        }

        impl PartialEq for $handle {
            fn eq(&self, other: &Self) -> bool {
                self.name() == other.name()
            }
        }

        impl Eq for $handle {}

        impl std::fmt::Debug for $handle {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::fmt::Display for $handle {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl serde::Serialize for $handle {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $handle {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = <String as serde::Deserialize>::deserialize(deserializer)?;
                Self::named(&name).ok_or_else(|| {
                    let known: Vec<&str> = $registry.iter().map(|entry| entry.name()).collect();
                    serde::de::Error::custom(format!("`{name}` is unknown; there are {}", known.join(", ")))
                })
            }
        }

        impl $crate::core::settings::Settable for $handle {
            const FORM: $crate::core::settings::SettingForm = $crate::core::settings::SettingForm::choice::<Self>(|| {
                let choice = |entry: &Self| $crate::core::settings::Choice {
                    name: entry.name(),
                    help: entry.help(),
                    settings: entry.settings(),
                };
                $registry.iter().map(choice).collect()
            });
        }
    };
}

/// Declares an `enum` of variants without data, each with its name; its comment is its help.
#[macro_export]
macro_rules! variants {
    ($(#[$about:meta])* pub enum $type:ident { $($(#[doc = $help:literal])+ $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $type {
            $($(#[doc = $help])+ #[serde(rename = $name)] $variant),+
        }

        impl $crate::core::settings::Settable for $type {
            const FORM: $crate::core::settings::SettingForm = $crate::core::settings::SettingForm::choice::<Self>(|| {
                let choice = |(name, help): (&'static str, &'static str)| $crate::core::settings::Choice { name, help: help.trim(), settings: &[] };
                [$(($name, concat!($($help),+))),+].map(choice).to_vec()
            });
        }
    };
}
