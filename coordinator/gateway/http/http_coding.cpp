// Deflate itself (RFC 1951) is Beast's; the frames around it, gzip's (RFC 1952) and zlib's (RFC 1950), are read here.
#include "coordinator/gateway/http/http_coding.h"

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <boost/beast/zlib/deflate_stream.hpp>
#include <boost/beast/zlib/inflate_stream.hpp>
#include <boost/crc.hpp>
#include <charconv>
#include <cstdint>

namespace caudal {
namespace {

namespace beast = boost::beast;
namespace zlib = boost::beast::zlib;

constexpr std::size_t kGzipHeaderBytes = 10;
constexpr std::size_t kGzipTrailerBytes = 8;
constexpr int kFast = 1;  // of deflate's levels

bool is_gzip(std::string_view coding) { return beast::iequals(coding, "gzip") || beast::iequals(coding, "x-gzip"); }

std::uint32_t byte_at(std::string_view bytes, std::size_t at) { return static_cast<std::uint8_t>(bytes[at]); }

std::uint32_t little_endian(std::string_view bytes) {
  return byte_at(bytes, 0) | byte_at(bytes, 1) << 8 | byte_at(bytes, 2) << 16 | byte_at(bytes, 3) << 24;
}

std::uint32_t crc_of(std::string_view text) {
  boost::crc_32_type crc;
  crc.process_bytes(text.data(), text.size());
  return crc.checksum();
}

std::uint32_t adler_of(std::string_view text) {
  constexpr std::uint32_t kModulus = 65521;
  std::uint32_t low = 1;
  std::uint32_t high = 0;
  for (const char c : text) {
    low = (low + static_cast<std::uint8_t>(c)) % kModulus;
    high = (high + low) % kModulus;
  }
  return high << 16 | low;
}

// Takes the header off the front; false when there is none.
bool skip_gzip_header(std::string_view& body) {
  if (body.size() < kGzipHeaderBytes + kGzipTrailerBytes || !body.starts_with("\x1F\x8B\x08")) return false;
  const std::uint32_t flags = byte_at(body, 3);
  body.remove_prefix(kGzipHeaderBytes);
  if ((flags & 0x04) != 0) {  // extra fields
    if (body.size() < 2) return false;
    const std::size_t size = 2 + (byte_at(body, 0) | byte_at(body, 1) << 8);
    if (body.size() < size) return false;
    body.remove_prefix(size);
  }
  for (const std::uint32_t text : {0x08U, 0x10U}) {  // a name, a comment
    if ((flags & text) == 0) continue;
    const std::size_t end = body.find('\0');
    if (end == std::string_view::npos) return false;
    body.remove_prefix(end + 1);
  }
  const std::size_t checksum = (flags & 0x02) != 0 ? 2 : 0;
  if (body.size() < checksum + kGzipTrailerBytes) return false;
  body.remove_prefix(checksum);
  return true;
}

enum class Inflated { kWhole, kDamaged, kTooLarge };

// What the deflate stream at the front of `packed` holds; takes it off.
Inflated inflate(std::string_view& packed, std::size_t max_bytes, std::string& out) {
  zlib::inflate_stream stream;
  zlib::z_params params{};
  params.next_in = packed.data();
  params.avail_in = packed.size();
  out.clear();
  beast::error_code ec;
  while (!ec) {
    const std::size_t done = out.size();
    if (done > max_bytes) return Inflated::kTooLarge;
    out.resize(std::min(max_bytes + 1, std::max<std::size_t>(2 * done, 16'384)));
    params.next_out = out.data() + done;
    params.avail_out = out.size() - done;
    stream.write(params, zlib::Flush::sync, ec);
    out.resize(out.size() - params.avail_out);
    if (out.size() == done && ec != zlib::error::end_of_stream) return Inflated::kDamaged;  // it breaks off
  }
  packed.remove_prefix(packed.size() - params.avail_in);
  if (ec != zlib::error::end_of_stream) return Inflated::kDamaged;
  return out.size() > max_bytes ? Inflated::kTooLarge : Inflated::kWhole;
}

Inflated unpack_gzip(std::string_view packed, std::size_t max_bytes, std::string& out) {
  if (!skip_gzip_header(packed)) return Inflated::kDamaged;
  const Inflated inflated = inflate(packed, max_bytes, out);
  if (inflated != Inflated::kWhole) return inflated;
  const bool right = packed.size() == kGzipTrailerBytes && little_endian(packed) == crc_of(out) &&
                     little_endian(packed.substr(4)) == static_cast<std::uint32_t>(out.size());
  return right ? Inflated::kWhole : Inflated::kDamaged;
}

// With zlib's frame, or as some clients send it without.
Inflated unpack_deflate(std::string_view packed, std::size_t max_bytes, std::string& out) {
  const bool framed =
      packed.size() > 6 && (byte_at(packed, 0) & 0x0F) == 8 && (byte_at(packed, 0) << 8 | byte_at(packed, 1)) % 31 == 0;
  if (framed) packed.remove_prefix(2);
  const Inflated inflated = inflate(packed, max_bytes, out);
  if (inflated != Inflated::kWhole) return inflated;
  if (!framed) return packed.empty() ? Inflated::kWhole : Inflated::kDamaged;
  if (packed.size() != 4) return Inflated::kDamaged;
  const std::uint32_t sum =
      byte_at(packed, 0) << 24 | byte_at(packed, 1) << 16 | byte_at(packed, 2) << 8 | byte_at(packed, 3);
  return sum == adler_of(out) ? Inflated::kWhole : Inflated::kDamaged;
}

void append_little_endian(std::string& out, std::uint32_t value) {
  for (const int shift : {0, 8, 16, 24}) out += static_cast<char>(value >> shift & 0xFF);
}

}  // namespace

bool is_known_coding(std::string_view coding) {
  return coding.empty() || beast::iequals(coding, "identity") || is_gzip(coding) || beast::iequals(coding, "deflate");
}

std::optional<ApiError> unpack_body(std::string_view coding, std::size_t max_bytes, std::string& body) {
  if (coding.empty() || beast::iequals(coding, "identity")) return std::nullopt;
  std::string out;
  const Inflated inflated = is_gzip(coding) ? unpack_gzip(body, max_bytes, out) : unpack_deflate(body, max_bytes, out);
  if (inflated == Inflated::kTooLarge) return body_too_large(max_bytes);
  if (inflated == Inflated::kDamaged)
    return invalid_request({"The body is not packed as it says.", "Content-Encoding"});
  body = std::move(out);
  return std::nullopt;
}

bool accepts_gzip(std::string_view accepted) {
  bool any = false;
  while (!accepted.empty()) {
    const std::size_t comma = std::min(accepted.find(','), accepted.size());
    std::string_view item = accepted.substr(0, comma);
    accepted.remove_prefix(std::min(comma + 1, accepted.size()));
    const std::size_t semicolon = std::min(item.find(';'), item.size());
    std::string_view name = item.substr(0, semicolon);
    name.remove_prefix(std::min(name.find_first_not_of(" \t"), name.size()));
    name = name.substr(0, name.find_last_not_of(" \t") + 1);
    const std::size_t weight = item.find("q=", semicolon);
    double quality = 1.0;
    if (weight != std::string_view::npos) {
      std::from_chars(item.data() + weight + 2, item.data() + item.size(), quality);
    }
    if (is_gzip(name)) return quality > 0.0;
    if (name == "*") any = quality > 0.0;
  }
  return any;
}

std::string gzip(std::string_view text) {
  zlib::deflate_stream stream;
  stream.reset(kFast, 15, 8, zlib::Strategy::normal);
  std::string packed(stream.upper_bound(text.size()), '\0');
  zlib::z_params params{};
  params.next_in = text.data();
  params.avail_in = text.size();
  params.next_out = packed.data();
  params.avail_out = packed.size();
  beast::error_code ec;
  stream.write(params, zlib::Flush::finish, ec);
  packed.resize(packed.size() - params.avail_out);
  std::string out("\x1F\x8B\x08\0\0\0\0\0\4\xFF", kGzipHeaderBytes);  // no time, fastest, no system
  out += packed;
  append_little_endian(out, crc_of(text));
  append_little_endian(out, static_cast<std::uint32_t>(text.size()));
  return out;
}

}  // namespace caudal
