// Fields of a line of text, and what is said of bad ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "trace.hpp"

namespace program {

/// One CSV line into its fields; quotes may enclose a field, and a doubled quote inside stands for one.
complaint split_fields(std::string_view line, std::vector<std::string>& fields);

/// Without the blanks around it.
std::string_view trimmed(std::string_view text);

/// What is shown of a bad field: short, and printable whatever the file holds.
std::string shown(std::string_view text);

/// A whole number of 64 bits, decimal or after 0x; the complaint names the field.
complaint number_of(std::string_view name, std::string_view raw, std::uint64_t& out);

}  // namespace program
