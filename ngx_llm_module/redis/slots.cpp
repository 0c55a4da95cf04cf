// Slots are CRC-16 (XMODEM) of the key, modulo 16384.
#include "ngx_llm_module/redis/slots.hpp"

#include <array>
#include <charconv>

namespace llm {
namespace {

constexpr std::array<uint16_t, 256> make_table() {
    std::array<uint16_t, 256> table{};
    for (unsigned byte = 0; byte < 256; byte++) {
        unsigned crc = byte << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc << 1) ^ ((crc & 0x8000) != 0 ? 0x1021u : 0u);
        }
        table[byte] = uint16_t(crc);
    }
    return table;
}

constexpr auto kTable = make_table();

bool read_number(std::string_view text, unsigned most, unsigned &number) {
    const char *end = text.data() + text.size();
    auto [stop, error] = std::from_chars(text.data(), end, number);
    return error == std::errc() && stop == end && number <= most;
}

std::string_view take_word(std::string_view &text) {
    std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size() < text.size() ? word.size() + 1 : word.size());
    return word;
}

}  // namespace

uint16_t slot_of(std::string_view key) {
    size_t open = key.find('{');
    if (open != std::string_view::npos) {
        size_t close = key.find('}', open + 1);
        if (close != std::string_view::npos && close > open + 1) {
            key = key.substr(open + 1, close - open - 1);
        }
    }
    unsigned crc = 0;
    for (unsigned char byte : key) {
        crc = ((crc << 8) ^ kTable[((crc >> 8) ^ byte) & 0xff]) & 0xffff;
    }
    return uint16_t(crc % kSlots);
}

Redirect parse_redirect(std::string_view error) {
    std::string_view kind = take_word(error);
    std::string_view slot = take_word(error);
    std::string_view address = take_word(error);
    size_t colon = address.rfind(':');
    unsigned slot_number = 0;
    unsigned port = 0;
    if ((kind != "MOVED" && kind != "ASK") || !read_number(slot, kSlots - 1, slot_number) ||
        colon == std::string_view::npos || !read_number(address.substr(colon + 1), 65535, port) ||
        port == 0) {
        return {};
    }
    Redirect result;
    result.kind = kind == "MOVED" ? Redirection::moved : Redirection::ask;
    result.slot = uint16_t(slot_number);
    result.host = address.substr(0, colon);
    result.port = uint16_t(port);
    return result;
}

}  // namespace llm
