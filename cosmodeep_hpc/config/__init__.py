"""The configuration: sections of options that know their unit, meaning and limits."""
