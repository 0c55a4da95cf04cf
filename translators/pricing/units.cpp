#include "translators/pricing/units.hpp"

#include <algorithm>
#include <charconv>

#include "translators/json/text.hpp"
#include "translators/pricing/cost.hpp"
#include "translators/wire/multipart.hpp"

namespace llm {
namespace {

constexpr int64_t kMostImages = 1000;
constexpr int64_t kMostQueries = 100000;
constexpr int64_t kMostSide = 100000;
constexpr double kMostSeconds = 1e7;

int64_t number_of(std::string_view text, int64_t most) {
    int64_t number = 0;
    auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
    bool is_good = wrong == std::errc() && end == text.data() + text.size() && number > 0;
    return is_good ? std::min(number, most) : 0;
}

// "1024x1536"; what is no such size (auto) leaves it open.
void take_size(std::string_view text, Units &units) {
    size_t x = text.find('x');
    if (x == std::string_view::npos) {
        return;
    }
    int64_t width = number_of(text.substr(0, x), kMostSide);
    int64_t height = number_of(text.substr(x + 1), kMostSide);
    if (width > 0 && height > 0) {
        units.pixels = width * height;
        units.image_size = std::to_string(width) + "-x-" + std::to_string(height);
    }
}

int64_t characters_of(std::string_view utf8) {
    return std::count_if(utf8.begin(), utf8.end(),
                         [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

uint32_t little_endian(std::string_view bytes, size_t at) {
    uint32_t number = 0;
    for (size_t i = 4; i > 0; i--) {
        number = number << 8 | static_cast<unsigned char>(bytes[at + i - 1]);
    }
    return number;
}

}  // namespace

Units count_units(std::string_view path, std::string_view body, json::Value root,
                  std::string_view boundary) {
    Units units;
    Arena arena;
    auto field = [&](std::string_view name) {
        if (!boundary.empty()) {
            return wire::find_form_field(body, boundary, name).value_or("");
        }
        json::Value member = root[name];
        return member.is_string() ? json::unescape(member.text(), arena) : member.raw().bytes;
    };
    if (path.ends_with("/images/generations") || path.ends_with("/images/edits") ||
        path.ends_with("/images/variations")) {
        units.images = std::max(number_of(field("n"), kMostImages), int64_t(1));
        units.pixels = 1024 * 1024;
        units.image_size = "1024-x-1024";
        take_size(field("size"), units);
        units.quality = field("quality");
        if (units.quality.empty() || units.quality.size() > 16) {
            units.quality = "standard";
        }
    } else if (path.ends_with("/audio/speech")) {
        units.characters = characters_of(field("input"));
        units.are_given = true;
    } else if (path.ends_with("/audio/transcriptions") || path.ends_with("/audio/translations")) {
        int64_t length = boundary.empty() ? 0 : wav_ms(field("file"));
        units.audio_ms = length > 0 ? length : kUnknownLength;
        units.are_given = true;
    } else if (path.ends_with("/rerank")) {
        units.queries = 1;
    }
    return units;
}

void count_given(json::Value answer, Units &units) {
    if (units.images > 0 && answer["data"].is_array()) {
        units.images = int64_t(answer["data"].size());
        units.are_given = true;
    }
    std::optional<int64_t> searches = answer["meta"]["billed_units"]["search_units"].as_int();
    if (units.queries > 0 && searches && *searches > 0 && *searches <= kMostQueries) {
        units.queries = *searches;
        units.are_given = true;
    }
    if (!answer["text"].is_string()) {
        return;
    }
    for (json::Value told : {answer["duration"], answer["usage"]["seconds"]}) {
        std::optional<double> seconds = told.as_double();
        if (seconds && *seconds > 0 && *seconds < kMostSeconds) {
            units.audio_ms = int64_t(*seconds * 1000 + 0.5);
        }
    }
}

int64_t cost_of(const Units &units, const Price &price) {
    int64_t cost = -1;
    auto add = [&](PriceKind kind, int64_t count, int64_t of) {
        for (const PriceItem &item : price.items) {
            if (item.section == PriceSection::unit && item.kind == kind && count > 0) {
                cost = std::max(cost, int64_t(0)) + cost_of_units(price, kind, count, of);
                return true;
            }
        }
        return false;
    };
    if (!add(PriceKind::image_out, units.images, 1)) {
        for (PriceKind kind : {PriceKind::pixel_in, PriceKind::pixel_out}) {
            (void)add(kind, units.images * units.pixels, 1000);
        }
    }
    (void)add(PriceKind::char_in, units.characters, 1);
    (void)add(PriceKind::query, units.queries, 1);
    (void)add(PriceKind::second_in, units.audio_ms, 1000);
    return cost;
}

// RIFF, then parts: name, size, bytes. "fmt " says how many bytes a second has, "data" how many
// there are.
int64_t wav_ms(std::string_view file) {
    if (file.size() < 12 || file.substr(0, 4) != "RIFF" || file.substr(8, 4) != "WAVE") {
        return 0;
    }
    uint32_t rate = 0;
    for (size_t at = 12; at + 8 <= file.size();) {
        std::string_view name = file.substr(at, 4);
        uint32_t size = little_endian(file, at + 4);
        if (name == "fmt " && at + 20 <= file.size()) {
            rate = little_endian(file, at + 16);
        }
        if (name == "data") {
            return rate > 0 ? int64_t(uint64_t(size) * 1000 / rate) : 0;
        }
        at += 8 + size_t(size) + size % 2;
    }
    return 0;
}

}  // namespace llm
