// The two forms of price files. What is a price is read strictly: a mistake is told with the model,
// the member and the line. Members of our own form that are not known are mistakes, too; LiteLLM's
// file has many that say other things, and these are passed over.
// Entry points: read_price_file, parse_amount.
#include "translators/pricing/price_file.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include "translators/json/reader.hpp"
#include "translators/provider/providers.hpp"

namespace llm {
namespace {

using json::Value;

constexpr size_t kMaxModelName = 512;

struct Name {
    std::string_view name;
    PriceKind kind;
};

constexpr Name kTokens[] = {
    {"input", PriceKind::in},
    {"output", PriceKind::out},
    {"cache_read", PriceKind::cache_read},
    {"cache_write", PriceKind::cache_write_5m},
    {"cache_write_5m", PriceKind::cache_write_5m},
    {"cache_write_1h", PriceKind::cache_write_1h},
    {"reasoning", PriceKind::reasoning},
    {"audio_input", PriceKind::audio_in},
    {"audio_output", PriceKind::audio_out},
    {"image_input", PriceKind::image_in},
    {"image_output", PriceKind::image_out},
};

// Below "per": dollars for one.
constexpr Name kUnits[] = {
    {"request", PriceKind::request},
    {"input_image", PriceKind::image_in},
    {"output_image", PriceKind::image_out},
    {"input_second", PriceKind::second_in},
    {"output_second", PriceKind::second_out},
    {"input_character", PriceKind::char_in},
    {"output_character", PriceKind::char_out},
    {"query", PriceKind::query},
    {"page", PriceKind::page},
    {"web_search", PriceKind::web_search},
};

struct Section {
    std::string_view name;
    PriceSection section;
};

constexpr Section kSections[] = {
    {"batch", PriceSection::batch},
    {"priority", PriceSection::priority},
    {"flex", PriceSection::flex},
};

// LiteLLM's names. What follows a token's name is a condition.
constexpr Name kLiteTokens[] = {
    {"input_cost_per_token", PriceKind::in},
    {"output_cost_per_token", PriceKind::out},
    {"cache_read_input_token_cost", PriceKind::cache_read},
    {"cache_creation_input_token_cost", PriceKind::cache_write_5m},
    {"cache_creation_input_token_cost_above_1hr", PriceKind::cache_write_1h},
    {"output_cost_per_reasoning_token", PriceKind::reasoning},
    {"input_cost_per_audio_token", PriceKind::audio_in},
    {"output_cost_per_audio_token", PriceKind::audio_out},
    {"cache_read_input_audio_token_cost", PriceKind::audio_cache_read},
    {"input_cost_per_image_token", PriceKind::image_in},
    {"output_cost_per_image_token", PriceKind::image_out},
};

constexpr Name kLiteUnits[] = {
    {"input_cost_per_request", PriceKind::request},
    {"input_cost_per_image", PriceKind::image_in},
    {"output_cost_per_image", PriceKind::image_out},
    {"input_cost_per_second", PriceKind::second_in},
    {"output_cost_per_second", PriceKind::second_out},
    {"input_cost_per_character", PriceKind::char_in},
    {"output_cost_per_character", PriceKind::char_out},
    {"input_cost_per_pixel", PriceKind::pixel_in},
    {"output_cost_per_pixel", PriceKind::pixel_out},
    {"input_cost_per_query", PriceKind::query},
    {"ocr_cost_per_page", PriceKind::page},
};

constexpr Section kLiteSections[] = {
    {"_batches", PriceSection::batch},
    {"_priority", PriceSection::priority},
    {"_flex", PriceSection::flex},
};

template <size_t N>
const Name *find_name(const Name (&names)[N], std::string_view name) {
    for (const Name &known : names) {
        if (known.name == name) {
            return &known;
        }
    }
    return nullptr;
}

std::string quoted(std::string_view name) {
    std::string text = "\"";
    for (char c : name.substr(0, 100)) {
        bool is_plain = static_cast<unsigned char>(c) >= 0x20 && c != 0x7f && c != '"';
        text.push_back(is_plain ? c : '?');
    }
    return text + "\"";
}

class FileReader {
  public:
    FileReader(std::string_view text, const IsAccount &is_account, PriceFileError &error)
        : text_(text), is_account_(is_account), error_(error) {}

    bool read(std::vector<PriceBook::Entry> &entries);

  private:
    struct Tier {
        int64_t above;
        std::vector<PriceItem> items;
    };

    bool fail(Value at, std::string_view what);
    uint32_t line_of(size_t offset) const;
    bool read_amount(Value value, std::string_view name, int digits, int64_t &amount);
    bool read_limit(Value value, std::string_view name, uint32_t &limit);
    bool add_tiers();
    void add(PriceSection section, PriceKind kind, int64_t amount);
    bool take_entry(std::string_view name, Value object);
    void set_name(std::string_view name, std::string_view provider);

    bool read_own(std::string_view member, Value value);
    bool read_own_tokens(Value object, std::vector<PriceItem> &items, PriceSection section);
    bool read_own_tiers(Value list);
    bool read_own_units(Value object);

    bool read_lite(std::string_view member, Value value);
    bool read_lite_token(const Name &known, std::string_view condition, Value value,
                         std::string_view member);
    bool read_lite_ranges(Value list);
    std::vector<PriceItem> &tier_above(int64_t above);

    std::string_view text_;
    const IsAccount &is_account_;
    PriceFileError &error_;
    json::Reader reader_;
    bool is_own_ = false;
    // of the model that is read
    std::string model_;
    PriceBook::Entry entry_;
    std::vector<Tier> tiers_;
};

uint32_t FileReader::line_of(size_t offset) const {
    std::string_view before = text_.substr(0, offset);
    return uint32_t(1 + std::count(before.begin(), before.end(), '\n'));
}

bool FileReader::fail(Value at, std::string_view what) {
    error_.what.assign(model_.empty() ? "" : "model " + quoted(model_) + ": ").append(what);
    error_.line = at.absent() ? 0 : line_of(at.offset());
    return false;
}

bool FileReader::read_amount(Value value, std::string_view name, int digits, int64_t &amount) {
    if (!value.is_number()) {
        return fail(value, quoted(name) + " is not a number");
    }
    amount = parse_amount(value.raw().bytes, digits);
    return amount >= 0 || fail(value, quoted(name) + " is negative or too large");
}

bool FileReader::read_limit(Value value, std::string_view name, uint32_t &limit) {
    std::optional<int64_t> number = value.as_int();
    if (!number || *number < 0) {
        return fail(value, quoted(name) + " is not a number of tokens");
    }
    limit = uint32_t(std::min<int64_t>(*number, std::numeric_limits<uint32_t>::max()));
    return true;
}

void FileReader::add(PriceSection section, PriceKind kind, int64_t amount) {
    for (PriceItem &item : entry_.items) {
        if (item.section == section && item.kind == kind) {
            item.amount = amount;
            return;
        }
    }
    entry_.items.push_back({section, kind, amount});
}

std::vector<PriceItem> &FileReader::tier_above(int64_t above) {
    for (Tier &tier : tiers_) {
        if (tier.above == above) {
            return tier.items;
        }
    }
    return tiers_.emplace_back(Tier{above, {}}).items;
}

bool FileReader::add_tiers() {
    if (tiers_.size() > kPriceTiers) {
        return fail({}, "more than three tiers");
    }
    std::sort(tiers_.begin(), tiers_.end(),
              [](const Tier &a, const Tier &b) { return a.above < b.above; });
    auto section = size_t(PriceSection::tier1);
    for (const Tier &tier : tiers_) {
        add(PriceSection(section), PriceKind::above, tier.above);
        for (const PriceItem &item : tier.items) {
            add(PriceSection(section), item.kind, item.amount);
        }
        section++;
    }
    return true;
}

// PROVIDER/MODEL when the first part is one, else a name that any provider may have.
void FileReader::set_name(std::string_view name, std::string_view provider) {
    size_t slash = name.find('/');
    std::string_view first = name.substr(0, slash == std::string_view::npos ? 0 : slash);
    auto canonical = [&](std::string_view of) -> std::string_view {
        if (of.empty() || is_account_(of)) {
            return of;
        }
        if (const ProviderPreset *preset = find_provider_preset(of)) {
            return preset->name;
        }
        // bedrock_converse, vertex_ai-language-models: LiteLLM's kinds of one provider.
        for (std::string_view known : {"bedrock", "vertex_ai", "fireworks_ai"}) {
            if (of.starts_with(known)) {
                return known;
            }
        }
        return {};
    };
    std::string_view of_name = canonical(first);
    std::string_view own = canonical(provider);
    bool is_prefix = !of_name.empty() && (provider.empty() || first == provider || of_name == own);
    entry_.provider = is_prefix ? of_name : own.empty() ? provider : own;
    entry_.model = is_prefix ? name.substr(slash + 1) : name;
}

bool FileReader::take_entry(std::string_view name, Value object) {
    model_ = name;
    entry_ = {};
    tiers_.clear();
    if (name.empty() || name.size() > kMaxModelName) {
        return fail(object, "not a name of a model");
    }
    if (!object.is_object()) {
        return fail(object, "not an object");
    }
    std::string provider;
    Arena arena;
    if (!is_own_) {
        provider = json::unescape(object["litellm_provider"].text(), arena);
    }
    set_name(name, provider);
    if (entry_.model.empty()) {
        return fail(object, "not a name of a model");
    }
    for (auto [key, value] : object.members()) {
        std::string_view member = json::unescape(key, arena);
        if (value.is_null()) {
            continue;
        }
        if (!(is_own_ ? read_own(member, value) : read_lite(member, value))) {
            return false;
        }
    }
    return add_tiers();
}

// --- our own form ----------------------------------------------------------------------------

bool FileReader::read_own(std::string_view member, Value value) {
    if (const Name *known = find_name(kTokens, member)) {
        int64_t amount = 0;
        if (!read_amount(value, member, kPerMillionTokens, amount)) {
            return false;
        }
        add(PriceSection::base, known->kind, amount);
        return true;
    }
    for (const Section &section : kSections) {
        if (section.name == member) {
            return value.is_object() ? read_own_tokens(value, entry_.items, section.section)
                                     : fail(value, quoted(member) + " is not an object");
        }
    }
    if (member == "max_input") {
        return read_limit(value, member, entry_.max_input);
    }
    if (member == "max_output") {
        return read_limit(value, member, entry_.max_output);
    }
    if (member == "tiers") {
        return read_own_tiers(value);
    }
    if (member == "per") {
        return read_own_units(value);
    }
    return fail(value, "unknown member " + quoted(member));
}

bool FileReader::read_own_tokens(Value object, std::vector<PriceItem> &items,
                                 PriceSection section) {
    Arena arena;
    for (auto [key, value] : object.members()) {
        std::string_view member = json::unescape(key, arena);
        if (member == "above") {
            continue;
        }
        const Name *known = find_name(kTokens, member);
        if (known == nullptr) {
            return fail(value, "unknown member " + quoted(member));
        }
        int64_t amount = 0;
        if (!read_amount(value, member, kPerMillionTokens, amount)) {
            return false;
        }
        items.push_back({section, known->kind, amount});
    }
    return true;
}

bool FileReader::read_own_tiers(Value list) {
    if (!list.is_array()) {
        return fail(list, "\"tiers\" is not a list");
    }
    for (Value tier : list.items()) {
        uint32_t above = 0;
        if (!tier.is_object()) {
            return fail(tier, "a tier is not an object");
        }
        if (!read_limit(tier["above"].absent() ? tier : tier["above"], "above", above) ||
            !read_own_tokens(tier, tier_above(above), PriceSection::tier1)) {
            return false;
        }
    }
    return true;
}

bool FileReader::read_own_units(Value object) {
    if (!object.is_object()) {
        return fail(object, "\"per\" is not an object");
    }
    Arena arena;
    for (auto [key, value] : object.members()) {
        std::string_view member = json::unescape(key, arena);
        const Name *known = find_name(kUnits, member);
        if (known == nullptr) {
            return fail(value, "unknown member " + quoted(member));
        }
        int64_t amount = 0;
        if (!read_amount(value, member, kPerToken, amount)) {
            return false;
        }
        add(PriceSection::unit, known->kind, amount);
    }
    return true;
}

// --- LiteLLM's form --------------------------------------------------------------------------

bool FileReader::read_lite(std::string_view member, Value value) {
    if (const Name *unit = find_name(kLiteUnits, member)) {
        int64_t amount = 0;
        bool is_pixel = unit->kind == PriceKind::pixel_in || unit->kind == PriceKind::pixel_out;
        if (!read_amount(value, member, is_pixel ? kPerToken + 3 : kPerToken, amount)) {
            return false;
        }
        add(PriceSection::unit, unit->kind, amount);
        return true;
    }
    const Name *best = nullptr;
    for (const Name &known : kLiteTokens) {
        if (member.starts_with(known.name) &&
            (best == nullptr || known.name.size() > best->name.size())) {
            best = &known;
        }
    }
    if (best != nullptr) {
        return read_lite_token(*best, member.substr(best->name.size()), value, member);
    }
    if (member == "tiered_pricing") {
        return read_lite_ranges(value);
    }
    // These stand as words in the file's example and as numbers elsewhere.
    if (member == "max_input_tokens" && value.is_number()) {
        return read_limit(value, member, entry_.max_input);
    }
    if (member == "max_output_tokens" && value.is_number()) {
        return read_limit(value, member, entry_.max_output);
    }
    return true;
}

// `condition` is what stands behind the name: "_batches", "_above_200k_tokens".
bool FileReader::read_lite_token(const Name &known, std::string_view condition, Value value,
                                 std::string_view member) {
    int64_t amount = 0;
    if (!read_amount(value, member, kPerToken, amount)) {
        return false;
    }
    if (condition.empty()) {
        add(PriceSection::base, known.kind, amount);
        return true;
    }
    for (const Section &section : kLiteSections) {
        if (section.name == condition) {
            add(section.section, known.kind, amount);
            return true;
        }
    }
    constexpr std::string_view kAbove = "_above_";
    constexpr std::string_view kThousands = "k_tokens";
    if (condition.starts_with(kAbove) && condition.ends_with(kThousands)) {
        condition.remove_prefix(kAbove.size());
        condition.remove_suffix(kThousands.size());
        uint32_t thousands = 0;
        auto [end, code] =
            std::from_chars(condition.data(), condition.data() + condition.size(), thousands);
        if (code == std::errc() && end == condition.data() + condition.size()) {
            tier_above(int64_t(thousands) * 1000)
                .push_back({PriceSection::tier1, known.kind, amount});
        }
    }
    return true;  // a condition on several things at once: the simpler ones are close enough
}

bool FileReader::read_lite_ranges(Value list) {
    if (!list.is_array()) {
        return fail(list, "\"tiered_pricing\" is not a list");
    }
    Arena arena;
    for (Value range : list.items()) {
        std::optional<int64_t> from;
        for (Value bound : range["range"].items()) {
            from = from ? from : bound.as_int();
        }
        if (!from || *from < 0) {
            continue;  // priced by something else than the input's size
        }
        for (auto [key, value] : range.members()) {
            const Name *known = find_name(kLiteTokens, json::unescape(key, arena));
            int64_t amount = 0;
            if (known == nullptr || value.is_null()) {
                continue;
            }
            if (!read_amount(value, known->name, kPerToken, amount)) {
                return false;
            }
            if (*from == 0) {
                add(PriceSection::base, known->kind, amount);
            } else {
                tier_above(*from).push_back({PriceSection::tier1, known->kind, amount});
            }
        }
    }
    return true;
}

bool FileReader::read(std::vector<PriceBook::Entry> &entries) {
    Result<Value> root = reader_.parse_unpadded(text_);
    if (!root) {
        error_.what.assign("not JSON: ").append(root.error().what);
        error_.line = line_of(std::min<size_t>(root.error().offset, text_.size()));
        return false;
    }
    if (!root->is_object()) {
        return fail(*root, "not an object");
    }
    Value own = (*root)["models"];
    is_own_ = !own.absent();
    if (is_own_ && !own.is_object()) {
        return fail(own, "\"models\" is not an object");
    }
    Arena arena;
    for (auto [key, value] : (is_own_ ? own : *root).members()) {
        std::string_view name = json::unescape(key, arena);
        if (!is_own_ && name == "sample_spec") {
            continue;
        }
        if (!take_entry(name, value)) {
            return false;
        }
        if (!entry_.items.empty() || entry_.max_input != 0 || entry_.max_output != 0) {
            entries.push_back(std::move(entry_));
        }
    }
    if (entries.empty()) {
        model_.clear();
        return fail({}, "no prices in it");
    }
    return true;
}

}  // namespace

int64_t parse_amount(std::string_view number, int digits) {
    constexpr int64_t kMost = 999999999999999999;
    int64_t amount = 0;
    bool has_point = false;
    bool has_digit = false;
    int behind = 0;  // digits behind the point that are in `amount`
    size_t i = 0;
    for (; i < number.size() && number[i] != 'e' && number[i] != 'E'; i++) {
        if (number[i] == '.' && !has_point) {
            has_point = true;
            continue;
        }
        if (number[i] < '0' || number[i] > '9') {
            return -1;
        }
        has_digit = true;
        if (amount > kMost / 10) {
            behind -= has_point ? 0 : 1;  // more digits than matter
            continue;
        }
        amount = amount * 10 + (number[i] - '0');
        behind += has_point ? 1 : 0;
    }
    int exponent = 0;
    if (i < number.size()) {
        std::string_view text = number.substr(i + 1);
        if (text.starts_with('+')) {
            text.remove_prefix(1);
        }
        auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), exponent);
        if (code != std::errc() || end != text.data() + text.size() || exponent > 1000 ||
            exponent < -1000) {
            return -1;
        }
    }
    if (!has_digit) {
        return -1;
    }
    int shift = digits + exponent - behind;
    for (; shift > 0 && amount > 0; shift--) {
        if (amount > kMost / 10) {
            return -1;
        }
        amount *= 10;
    }
    int64_t rest = 0;  // the last digit that was cut
    for (; shift < 0 && (amount > 0 || rest > 0); shift++) {
        rest = amount % 10;
        amount /= 10;
    }
    return amount + (rest >= 5 ? 1 : 0);
}

bool read_price_file(std::string_view text, const IsAccount &is_account, PriceBook &book,
                     PriceFileError &error) {
    std::vector<PriceBook::Entry> entries;
    if (!FileReader(text, is_account, error).read(entries)) {
        return false;
    }
    for (PriceBook::Entry &entry : entries) {
        book.add(std::move(entry));
    }
    book.sort();
    return true;
}

}  // namespace llm
