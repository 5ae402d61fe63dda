// The values that stand behind the keys of a GGUF file's metadata.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <tokenheap/plan/byte_reader.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// The types of values, by their ids in the file.
enum class gguf_kind : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

/// Bytes of one value; 0 for texts and arrays, and for what is no kind.
[[nodiscard]] constexpr std::uint32_t bytes_of(gguf_kind kind) noexcept {
  switch (kind) {
    case gguf_kind::u8:
    case gguf_kind::i8:
    case gguf_kind::boolean: return 1;
    case gguf_kind::u16:
    case gguf_kind::i16: return 2;
    case gguf_kind::u32:
    case gguf_kind::i32:
    case gguf_kind::f32: return 4;
    case gguf_kind::u64:
    case gguf_kind::i64:
    case gguf_kind::f64: return 8;
    case gguf_kind::text:
    case gguf_kind::array: return 0;
  }
  return 0;
}

/// True for whole numbers and for true and false.
[[nodiscard]] constexpr bool is_whole(gguf_kind kind) noexcept {
  return bytes_of(kind) != 0 && kind != gguf_kind::f32 && kind != gguf_kind::f64;
}

/// One value. Not kept: texts of more than 4 KiB, arrays of more than 16,384 entries or of other than whole numbers.
struct gguf_value {
  gguf_kind kind = gguf_kind::u8;
  gguf_kind of = gguf_kind::u8;     ///< of an array's entries
  std::uint64_t at = 0;             ///< where it starts in the file
  std::uint64_t length = 0;         ///< of a text in bytes, of an array in entries
  std::int64_t whole = 0;           ///< unsigned numbers beyond its range are its largest
  double real = 0;
  std::string text;
  std::vector<std::int64_t> items;  ///< of an array
};

/// Reads values; the first thing that is wrong stays in `error()`, without the name of the file.
class gguf_value_reader {
 public:
  static constexpr std::uint64_t longest_text = 4096, longest_items = 16'384;
  static constexpr int deepest = 8;  ///< arrays inside arrays

  explicit gguf_value_reader(byte_reader& from) noexcept : from_(from) {}

  [[nodiscard]] const std::string& error() const noexcept { return error_; }

  /// Keeps what is wrong with `field` at the byte that is next. Returns false.
  bool refuse(std::string_view field, const std::string& what) { return refuse_at(field, what, from_.at()); }
  bool refuse_at(std::string_view field, const std::string& what, std::uint64_t at) {
    if (error_.empty()) error_ = printable(field) + ": " + what + " (byte " + std::to_string(at) + ")";
    return false;
  }
  bool cut_off(std::string_view field) { return refuse(field, "the file ends here: it is cut off"); }

  template <class T>
  [[nodiscard]] bool number(std::string_view field, T& to) {
    return from_.number(to) || cut_off(field);
  }

  /// A length and as many bytes, at most `most`.
  [[nodiscard]] bool name(std::string_view field, std::string& to, std::uint64_t most) {
    std::uint64_t n = 0;
    const std::uint64_t at = from_.at();
    if (!number(field, n)) return false;
    if (n > most) return refuse_at(field, "a text of " + std::to_string(n) + " bytes, at most " + std::to_string(most), at);
    return from_.text(to, n) || cut_off(field);
  }

  /// The type of a value, and the value.
  [[nodiscard]] bool value(std::string_view field, gguf_value& to) {
    if (!kind(field, to.kind)) return false;
    to.at = from_.at();
    if (to.kind == gguf_kind::array) return array(field, to);
    if (to.kind != gguf_kind::text) return scalar(field, to.kind, to);
    if (!number(field, to.length)) return false;
    if (to.length <= longest_text) return from_.text(to.text, to.length) || cut_off(field);
    return from_.skip(to.length) || too_many(field, to.length, "bytes of text");
  }

 private:
  bool too_many(std::string_view field, std::uint64_t n, const char* of) {
    return refuse(field, std::to_string(n) + " " + of + ", but only " + std::to_string(from_.left()) +
                             " bytes follow: the file is cut off or broken");
  }

  bool kind(std::string_view field, gguf_kind& to) {
    std::uint32_t id = 0;
    const std::uint64_t at = from_.at();
    if (!number(field, id)) return false;
    if (id > static_cast<std::uint32_t>(gguf_kind::f64)) {
      return refuse_at(field, "there is no type of values " + std::to_string(id) + "; 0 to 12 are known", at);
    }
    to = static_cast<gguf_kind>(id);
    return true;
  }

  template <class T>
  bool whole(std::string_view field, std::int64_t& to) {
    T got = 0;
    if (!number(field, got)) return false;
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    if constexpr (sizeof(T) == 8 && std::is_unsigned_v<T>) {
      to = got > static_cast<T>(most) ? most : static_cast<std::int64_t>(got);
    } else {
      to = static_cast<std::int64_t>(got);
    }
    return true;
  }
  template <class T>
  bool real(std::string_view field, double& to) {
    T got = 0;
    if (!number(field, got)) return false;
    to = static_cast<double>(got);
    return true;
  }

  bool scalar(std::string_view field, gguf_kind of, gguf_value& to) {
    switch (of) {
      case gguf_kind::u8: return whole<std::uint8_t>(field, to.whole);
      case gguf_kind::i8: return whole<std::int8_t>(field, to.whole);
      case gguf_kind::u16: return whole<std::uint16_t>(field, to.whole);
      case gguf_kind::i16: return whole<std::int16_t>(field, to.whole);
      case gguf_kind::u32: return whole<std::uint32_t>(field, to.whole);
      case gguf_kind::i32: return whole<std::int32_t>(field, to.whole);
      case gguf_kind::u64: return whole<std::uint64_t>(field, to.whole);
      case gguf_kind::i64: return whole<std::int64_t>(field, to.whole);
      case gguf_kind::f32: return real<float>(field, to.real);
      case gguf_kind::f64: return real<double>(field, to.real);
      case gguf_kind::boolean: {
        const std::uint64_t at = from_.at();
        if (!whole<std::uint8_t>(field, to.whole)) return false;
        return to.whole <= 1 || refuse_at(field, std::to_string(to.whole) + " is neither true (1) nor false (0)", at);
      }
      case gguf_kind::text:
      case gguf_kind::array: break;
    }
    return refuse(field, "no number");
  }

  bool array(std::string_view field, gguf_value& to) {
    if (!kind(field, to.of) || !number(field, to.length)) return false;
    if (!is_whole(to.of) || to.length > longest_items) return skip_entries(field, to.of, to.length, 1);
    if (to.length > from_.left() / bytes_of(to.of)) return too_many(field, to.length, "entries");
    to.items.reserve(static_cast<std::size_t>(to.length));
    gguf_value one;
    for (std::uint64_t i = 0; i < to.length; ++i) {
      if (!scalar(field, to.of, one)) return false;
      to.items.push_back(one.whole);
    }
    return true;
  }

  bool skip_entries(std::string_view field, gguf_kind of, std::uint64_t n, int depth) {
    const std::uint64_t least = of == gguf_kind::text ? 8 : of == gguf_kind::array ? 12 : bytes_of(of);
    if (n > from_.left() / least) return too_many(field, n, "entries");
    if (of != gguf_kind::text && of != gguf_kind::array) return from_.skip(n * least) || cut_off(field);
    if (of == gguf_kind::array && depth == deepest) return refuse(field, "arrays in arrays, more than 8 deep");
    for (std::uint64_t i = 0; i < n; ++i) {
      std::uint64_t length = 0;
      gguf_kind inner = gguf_kind::u8;
      if (of == gguf_kind::array && !kind(field, inner)) return false;
      if (!number(field, length)) return false;
      if (of == gguf_kind::array) {
        if (!skip_entries(field, inner, length, depth + 1)) return false;
      } else if (!from_.skip(length)) {
        return too_many(field, length, "bytes of text");
      }
    }
    return true;
  }

  byte_reader& from_;
  std::string error_;
};

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
