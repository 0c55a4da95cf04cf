#include "ngx_llm_module/admin/resource.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <charconv>

#include "ngx_llm_module/admin/sorting.hpp"
#include "ngx_llm_module/conf/identities.hpp"
#include "ngx_llm_module/policy/limits_json.hpp"
#include "translators/core/sha256.hpp"
#include "translators/pricing/cost.hpp"

namespace llm {
namespace {

bool has_bad_byte(std::string_view id) {
    for (unsigned char c : id) {
        if (c <= 0x20 || c == 0x7f) {
            return true;
        }
    }
    return false;
}

// Where the limit was said; the first of several.
std::string member_of(const ModelLimit &limit) {
    return limit.rpm != kNoLimit                     ? "model_rpm_limit"
           : limit.tpm != kNoLimit                   ? "model_tpm_limit"
           : limit.max_parallel_requests != kNoLimit ? "model_max_parallel_requests"
                                                     : "model_max_budget";
}

}  // namespace

FieldError check_models(const Config &config, const std::vector<std::string> &models,
                        const LimitSet &limits, const std::vector<std::string> &stood) {
    auto is_wrong = [&](const std::string &model) {
        return !names_a_model(config, model) &&
               std::find(stood.begin(), stood.end(), model) == stood.end();
    };
    for (const std::string &model : models) {
        if (is_wrong(model)) {
            return {"models", "names a model that does not exist"};
        }
    }
    for (const ModelLimit &limit : limits.models) {
        if (is_wrong(limit.model)) {
            return {member_of(limit), "names a model that does not exist"};
        }
    }
    return {};
}

std::vector<std::string> named_models(const std::vector<std::string> &models,
                                      const LimitSet &limits) {
    std::vector<std::string> names = models;
    for (const ModelLimit &limit : limits.models) {
        names.push_back(limit.model);
    }
    return names;
}

AdminAnswer bad(const FieldError &error) {
    return admin_error(NGX_HTTP_BAD_REQUEST, error.what, error.param);
}

bool read_expiry(const AdminCall &call, int64_t &expires, FieldError &error) {
    json::Value duration = call.body["duration"];
    if (duration.absent()) {
        return true;
    }
    if (!call.body["expires"].is_unset()) {
        if (duration.is_null()) {
            return true;
        }
        error = {"duration", "stands beside expires: one of them can say when the key ends"};
        return false;
    }
    bool is_for_ever = duration.is_null() || duration.equals("-1") || duration.as_int() == -1;
    int64_t seconds = is_for_ever ? 0 : parse_duration(call.text("duration"));
    if (seconds < 0) {
        error = {"duration", "must be a time such as 30s, 15m, 12h or 30d, or -1: for ever"};
        return false;
    }
    expires = is_for_ever ? 0 : call.now + seconds;
    return true;
}

bool keeps_what_stands(const AdminCall &call, const Moment &created, SpendOf of,
                       std::string_view name, FieldError &error) {
    json::Value time = call.body["created_at"];
    if (!time.is_unset() && parse_time(call.text("created_at")) != created.time) {
        error = {"created_at", "is not when it was made, which does not change"};
        return false;
    }
    // A record that is sent back says when it was updated, and may have spent since it was read.
    bool is_sent_back = !call.body["updated_at"].is_unset();
    if (!is_sent_back && parse_dollars(number_of(call.body["spend"])) == 0 &&
        spent_by_all(call.config, of, name).cost > 0) {
        error = {"spend", "cannot be taken back: raise max_budget"};
        return false;
    }
    return true;
}

Moment this_moment() {
    struct timeval now;
    ngx_gettimeofday(&now);
    return {int64_t(now.tv_sec), int64_t(now.tv_usec)};
}

bool is_text(const AdminCall &call, std::string_view name) {
    return call.body[name].is_unset() || call.body[name].is_string();
}

bool choose_id(const std::string &given, std::string &id) {
    if (!given.empty()) {
        id = given;
        return given.size() <= kMaxId && !has_bad_byte(given);
    }
    unsigned char bytes[16] = {};
    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return false;
    }
    id = to_hex(bytes, sizeof(bytes));
    for (size_t at : {20, 16, 12, 8}) {
        id.insert(at, 1, '-');
    }
    return true;
}

void for_each_with(const Config &config, RecordKind kind, std::string_view member,
                   std::string_view value,
                   const std::function<void(const std::string &id, const std::string &json,
                                            uint64_t version)> &visit) {
    ByteBuffer wanted;
    if (!value.empty()) {
        wanted.append("\"");
        wanted.append(member);
        wanted.append("\":\"");
        json::append_escaped(value, wanted);
        wanted.append("\"");
    }
    for_each_record(config, kind, wanted.view(),
                    [&](RecordKind, const std::string &id, const std::string &json,
                        uint64_t version) { visit(id, json, version); });
}

std::string lower_case(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](char c) { return char(ngx_tolower(c)); });
    return text;
}

bool read_count(const std::string &text, size_t most, size_t &count) {
    auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), count);
    return code == std::errc() && end == text.data() + text.size() && count >= 1 && count <= most;
}

std::optional<bool> flag_of(std::string text) {
    constexpr std::string_view kYes[] = {"true", "1", "yes", "on", "y", "t"};
    constexpr std::string_view kNo[] = {"false", "0", "no", "off", "n", "f"};
    text = lower_case(std::move(text));
    bool is_yes = std::find(std::begin(kYes), std::end(kYes), text) != std::end(kYes);
    bool is_no = std::find(std::begin(kNo), std::end(kNo), text) != std::end(kNo);
    return is_yes || is_no ? std::optional(is_yes) : std::nullopt;
}

Page page_of(const AdminCall &call, size_t usual_size) {
    Page page;
    page.size = usual_size;
    std::string number = call.argument("page");
    std::string size = call.argument("size");
    std::string other_size = call.argument("page_size");
    bool is_other = size.empty() && !other_size.empty();
    if (!number.empty() && !read_count(number, 1000000, page.number)) {
        page.error = {"page", "must be a whole number, 1 or more"};
    }
    if (is_other) {
        size = other_size;
    } else if (!other_size.empty()) {
        page.error = {"page_size", "stands beside size, which is the same"};
    }
    if (!size.empty() && !read_count(size, 1000, page.size)) {
        page.error = {is_other ? "page_size" : "size", "must be a whole number from 1 to 1000"};
    }
    return page;
}

Order order_of(const AdminCall &call, std::span<const std::string_view> known,
               std::string_view usual, bool is_usually_descending) {
    Order order;
    order.by = call.argument("sort_by");
    if (order.by.empty()) {
        order.by = usual;
    }
    std::string direction = lower_case(call.argument("sort_order"));
    order.is_descending = direction.empty() ? is_usually_descending : direction == "desc";
    if (!direction.empty() && direction != "asc" && direction != "desc") {
        order.error = {"sort_order", "must be asc or desc"};
    }
    if (!order.by.empty() && std::find(known.begin(), known.end(), order.by) == known.end()) {
        order.error = {"sort_by", "is none of the members that this list can be sorted by"};
    }
    return order;
}

void write_spend(const AdminCall &call, SpendOf of, std::string_view name, json::Writer &w) {
    w.key("spend").raw(RawJson{dollars(spent_by_all(call.config, of, name).cost)});
}

std::string make_secret() {
    constexpr char kLetters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char bytes[32] = {};
    if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
        return {};
    }
    std::string secret = "sk-";
    for (unsigned char byte : bytes) {
        secret.push_back(kLetters[byte & 63]);
    }
    return secret;
}

std::string hash_of_key(const std::string &key) {
    bool is_hash = key.size() == 64;
    for (char c : key) {
        is_hash = is_hash && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    }
    return is_hash ? key : sha256_hex(key);
}

}  // namespace llm
