// See wishes.hpp. Members are taken out by writing blanks over them, comma included: the body stays
// where it is and is still JSON. A header wins over the body.
#include "ngx_llm_module/request/wishes.hpp"

#include <algorithm>

#include "ngx_llm_module/route/strategy.hpp"
#include "translators/dialect/openai_edits.hpp"

namespace llm {
namespace {

constexpr size_t kMaxNames = 16;
constexpr size_t kMaxName = 512;
constexpr ngx_uint_t kMaxRetries = 10;

constexpr std::string_view kFallbacks = "fallbacks";
constexpr std::string_view kNumRetries = "num_retries";
constexpr std::string_view kTimeout = "timeout";
constexpr std::string_view kDisable = "disable_fallbacks";
constexpr std::string_view kTags = "tags";
constexpr std::string_view kMetadata = "metadata";

Error wrong(std::string_view param, const char *what) {
    Error error{Errc::invalid_request, what};
    error.param = param;
    return error;
}

// Texts, or objects that name a model.
Status read_list(json::Value list, std::string_view param, Arena &arena,
                 std::vector<std::string> &names) {
    if (!list.is_array() || list.size() > kMaxNames) {
        return wrong(param, "must be an array of at most 16 names");
    }
    for (json::Value item : list.items()) {
        json::Value name = item.is_object() ? item["model"] : item;
        std::string_view text =
            name.is_string() ? json::unescape(name.text(), arena) : std::string_view();
        if (text.empty() || text.size() > kMaxName) {
            return wrong(param, "must be an array of names");
        }
        names.emplace_back(text);
    }
    return {};
}

std::vector<std::string> split_names(std::string_view text) {
    std::vector<std::string> names;
    while (!text.empty() && names.size() < kMaxNames) {
        std::string_view name = text.substr(0, text.find(','));
        text.remove_prefix(std::min(name.size() + 1, text.size()));
        while (!name.empty() && name.front() == ' ') {
            name.remove_prefix(1);
        }
        while (!name.empty() && name.back() == ' ') {
            name.remove_suffix(1);
        }
        if (!name.empty() && name.size() <= kMaxName) {
            names.emplace_back(name);
        }
    }
    return names;
}

Status set_timeout(double seconds, std::string_view param, Wishes &wishes) {
    if (!(seconds > 0 && seconds < 1e6)) {
        return wrong(param, "must be a number of seconds above 0");
    }
    wishes.timeout = std::max<ngx_msec_t>(ngx_msec_t(seconds * 1000), 1);
    return {};
}

Status set_retries(int64_t count, std::string_view param, Wishes &wishes) {
    if (count < 0) {
        return wrong(param, "must be a number, 0 or more");
    }
    wishes.num_retries = std::min(ngx_uint_t(count), kMaxRetries);
    return {};
}

Status read_member(std::string_view name, json::Value value, Arena &arena, Wishes &wishes) {
    if (value.is_null()) {
        return {};
    }
    if (name == kFallbacks) {
        wishes.has_fallbacks = true;
        return read_list(value, name, arena, wishes.fallbacks);
    }
    if (name == kNumRetries) {
        return set_retries(value.as_int().value_or(-1), name, wishes);
    }
    if (name == kTimeout) {
        return set_timeout(value.as_double().value_or(0), name, wishes);
    }
    if (name == kTags) {
        return read_list(value, name, arena, wishes.tags);
    }
    std::optional<bool> flag = value.as_bool();
    if (!flag) {
        return wrong(name, "must be true or false");
    }
    wishes.disable_fallbacks = *flag;
    return {};
}

Status read_header(std::string_view name, std::string_view value, Wishes &wishes) {
    if (wire::same_name(name, "x-llm-fallbacks")) {
        wishes.has_fallbacks = true;
        wishes.fallbacks = split_names(value);
    } else if (wire::same_name(name, "x-llm-tags")) {
        wishes.tags = split_names(value);
    } else if (wire::same_name(name, "x-llm-disable-fallbacks")) {
        wishes.disable_fallbacks = value == "true" || value == "1" || value == "on";
    } else if (wire::same_name(name, "x-llm-num-retries")) {
        ngx_int_t count = ngx_atoi((u_char *)value.data(), value.size());
        return set_retries(count, "x-llm-num-retries", wishes);
    } else if (wire::same_name(name, "x-llm-timeout")) {
        int64_t ms = parse_seconds(value);
        return set_timeout(double(ms) / 1000, "x-llm-timeout", wishes);
    }
    return {};
}

Status read_headers(const ngx_http_request_t *r, Wishes &wishes) {
    const ngx_list_part_t *part = &r->headers_in.headers.part;
    for (; part != nullptr; part = part->next) {
        const auto *headers = static_cast<const ngx_table_elt_t *>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            std::string_view name = view(headers[i].key);
            if (headers[i].hash != 0 && name.size() > 6 && (name[0] | 0x20) == 'x' &&
                (name[2] | 0x20) == 'l') {
                LLM_TRY(read_header(name, view(headers[i].value), wishes));
            }
        }
    }
    return {};
}

}  // namespace

Status read_wishes(LlmRequest &request, json::Value root, bool &is_changed) {
    constexpr std::string_view kMembers[] = {kFallbacks, kNumRetries, kTimeout, kDisable, kTags};
    Wishes &wishes = request.plan.wishes;
    bool has_members = false;
    for (json::Member member : root.members()) {
        for (std::string_view name : kMembers) {
            if (json::equals(member.key, name)) {
                has_members = true;
                LLM_TRY(read_member(name, member.value, request.arena, wishes));
            }
        }
    }
    json::Value tags = root[kMetadata][kTags];
    if (tags.is_array()) {
        LLM_TRY(read_list(tags, "metadata.tags", request.arena, wishes.tags));
    }
    std::vector<Edit> edits;
    openai::Edits out(edits);
    if (has_members) {
        out.remove(root, kMembers);
    }
    if (tags.is_array()) {
        out.remove(root[kMetadata], {kTags});
    }
    for (const Edit &edit : edits) {
        request.body.blank(edit.begin, edit.end);
    }
    is_changed = !edits.empty();
    return read_headers(request.r, wishes);
}

uint64_t conversation_of(json::Value root) {
    constexpr size_t kEnough = 4096;
    json::Value key = root["prompt_cache_key"];
    if (key.is_string()) {
        return hash_text(key.text().bytes);
    }
    uint64_t hash = hash_text("");
    for (std::string_view name : {"system", "instructions", "systemInstruction", "input"}) {
        if (!root[name].is_array() || name == "system") {
            hash = hash_text(root[name].raw().bytes.substr(0, kEnough), hash);
        }
    }
    for (std::string_view name : {"messages", "contents", "input"}) {
        size_t count = 0;
        for (json::Value message : root[name].items()) {
            // The system prompt, and what the user began with.
            bool is_user = message["role"].equals("user");
            if (count++ < 2 || is_user) {
                for (std::string_view part : {"content", "parts"}) {
                    hash = hash_text(message[part].raw().bytes.substr(0, kEnough), hash);
                }
            }
            if (is_user || count >= 2) {
                break;
            }
        }
    }
    return hash == 0 ? 1 : hash;
}

}  // namespace llm
