// Reads llm_key VALUE { ... }, llm_team NAME { ... } and llm_master_key VALUE. Of a key only the
// SHA-256 is kept. Whether models and teams exist is checked in identities.cpp.
#include "ngx_llm_module/conf/block_reader.hpp"
#include "ngx_llm_module/conf/blocks.hpp"
#include "ngx_llm_module/conf/value.hpp"
#include "translators/core/sha256.hpp"

namespace llm {
namespace {

bool is_hash(std::string_view text) {
    for (char c : text) {
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) {
            return false;
        }
    }
    return text.size() == 64;
}

// The SHA-256 of what stands there, or behind env: and file:.
bool read_key_hash(ngx_conf_t *cf, ngx_str_t text, std::string &hash) {
    std::string_view source = view(text);
    if (source.starts_with("sha256:")) {
        source.remove_prefix(7);
        if (!is_hash(source)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "llm: sha256: must be followed by 64 hexadecimal digits");
            return false;
        }
        for (char c : source) {
            hash.push_back(char(ngx_tolower(c)));
        }
        return true;
    }
    Value value;
    if (!read_secret(cf, text, value)) {
        return false;
    }
    if (value.variable != nullptr) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: a key cannot have variables");
        return false;
    }
    if (value.fixed.find(' ') != std::string::npos) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: the key has a blank");
        return false;
    }
    hash = sha256_hex(value.fixed);
    return true;
}

bool read_name(ngx_conf_t *cf, ngx_str_t text, std::string &name) {
    name = view(text);
    if (has_bad_character(name, false)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid name \"%V\"", &text);
        return false;
    }
    return true;
}

template <class Block>
bool read_alias(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Block &block) {
    return read_name(cf, args[0], block.record.alias);
}

template <class Block>
bool read_models(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Block &block) {
    for (ngx_uint_t i = 0; i < count; i++) {
        if (has_bad_character(view(args[i]), true)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid model name \"%V\"", &args[i]);
            return false;
        }
        block.record.models.emplace_back(view(args[i]));
        block.models.push_back({std::string(view(args[i])), ConfPlace::here(cf)});
    }
    return true;
}

// The name of the line that is read.
std::string line_name(ngx_conf_t *cf) {
    return std::string(view(static_cast<ngx_str_t *>(cf->args->elts)[0]));
}

template <class Block, int64_t LimitSet::*Which>
bool read_one_limit(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Block &block) {
    return read_limit(cf, line_name(cf), args[0], block.record.limits.*Which);
}

// Whose limit it is; null: that is no name.
template <class Block>
ModelLimit *read_limited_model(ngx_conf_t *cf, ngx_str_t text, Block &block) {
    std::string_view name = view(text);
    if (has_bad_character(name, true)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid model name \"%V\"", &text);
        return nullptr;
    }
    block.models.push_back({std::string(name), ConfPlace::here(cf)});
    return &block.record.limits.of_model(name);
}

template <class Block, int64_t ModelLimit::*Which>
bool read_model_limit(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Block &block) {
    ModelLimit *limit = read_limited_model(cf, args[0], block);
    return limit != nullptr &&
           read_limit(cf, line_name(cf) + " " + limit->model, args[1], limit->*Which);
}

template <class Block>
bool read_model_budget(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Block &block) {
    ModelLimit *limit = read_limited_model(cf, args[0], block);
    return limit != nullptr && read_budget(cf, args[1], limit->budgets);
}

template <class Block>
bool read_tokens(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Block &block) {
    std::string_view name = view(args[0]);
    TokenKind &tokens = block.record.limits.tokens;
    if (name != "total" && name != "input" && name != "output") {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: invalid value \"%V\", expected total, input or output", &args[0]);
        return false;
    }
    tokens = name == "total"   ? TokenKind::total
             : name == "input" ? TokenKind::input
                               : TokenKind::output;
    return true;
}

template <class Block>
bool read_max_budget(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Block &block) {
    return read_budget(cf, args[0], block.record.limits.budgets);
}

template <class Block>
bool read_outage(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Block &block) {
    return read_on_outage(cf, args[0], block.record.limits.on_outage.emplace());
}

template <class Block>
bool read_soft_budget(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Block &block) {
    return read_dollars(cf, args[0], block.record.limits.soft_budget);
}

template <class Block>
bool read_blocked(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Block &block) {
    return read_flag(cf, args[0], block.record.is_blocked);
}

template <class Block>
bool read_metadata(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Block &block) {
    for (const auto &[name, value] : block.metadata) {
        if (name == view(args[0])) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: duplicate metadata \"%V\"", &args[0]);
            return false;
        }
    }
    block.metadata.emplace_back(view(args[0]), view(args[1]));
    return true;
}

bool read_team(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, KeyBlock &block) {
    block.team = {std::string(view(args[0])), ConfPlace::here(cf)};
    return read_name(cf, args[0], block.record.team);
}

bool read_user(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, KeyBlock &block) {
    return read_name(cf, args[0], block.record.user);
}

bool read_model_alias(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, KeyBlock &block) {
    for (ngx_uint_t i = 0; i < 2; i++) {
        if (has_bad_character(view(args[i]), false)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: invalid model name \"%V\"", &args[i]);
            return false;
        }
    }
    for (const auto &[name, model] : block.record.aliases) {
        if (name == view(args[0])) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: duplicate model_alias \"%V\"", &args[0]);
            return false;
        }
    }
    block.record.aliases.emplace_back(view(args[0]), view(args[1]));
    block.models.push_back({std::string(view(args[1])), ConfPlace::here(cf)});
    return true;
}

bool read_expires(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, KeyBlock &block) {
    block.record.expires = parse_time(view(args[0]));
    if (block.record.expires <= 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: invalid time \"%V\", expected 2026-12-31, 2026-12-31T18:00:00Z or "
                           "Unix time",
                           &args[0]);
        return false;
    }
    return true;
}

template <bool KeyRecord::*Which>
bool read_right(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, KeyBlock &block) {
    return read_flag(cf, args[0], block.record.*Which);
}

bool read_tags(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, KeyBlock &block) {
    for (ngx_uint_t i = 0; i < count; i++) {
        if (!read_name(cf, args[i], block.record.tags.emplace_back())) {
            return false;
        }
    }
    return true;
}

#define LLM_SHARED_LINES(Block)                                                                   \
    {"alias", 1, 1, read_alias<Block>, Occurs::often},                                            \
        {"models", 1, 1024, read_models<Block>, Occurs::often},                                   \
        {"rpm", 1, 1, read_one_limit<Block, &LimitSet::rpm>},                                     \
        {"tpm", 1, 1, read_one_limit<Block, &LimitSet::tpm>},                                     \
        {"max_parallel_requests", 1, 1, read_one_limit<Block, &LimitSet::max_parallel_requests>}, \
        {"model_rpm", 2, 2, read_model_limit<Block, &ModelLimit::rpm>, Occurs::often},            \
        {"model_tpm", 2, 2, read_model_limit<Block, &ModelLimit::tpm>, Occurs::often},            \
        {"model_max_parallel_requests", 2, 2,                                                     \
         read_model_limit<Block, &ModelLimit::max_parallel_requests>, Occurs::often},             \
        {"model_max_budget", 2, 2, read_model_budget<Block>, Occurs::often},                      \
        {"count_tokens", 1, 1, read_tokens<Block>},                                               \
        {"max_budget", 1, 1, read_max_budget<Block>, Occurs::often},                              \
        {"soft_budget", 1, 1, read_soft_budget<Block>}, {"on_outage", 1, 1, read_outage<Block>},  \
        {"blocked", 1, 1, read_blocked<Block>}, {                                                 \
        "metadata", 2, 2, read_metadata<Block>, Occurs::often                                     \
    }

constexpr Line<KeyBlock> kKeyLines[] = {
    LLM_SHARED_LINES(KeyBlock),
    {"team", 1, 1, read_team},
    {"user", 1, 1, read_user},
    {"model_alias", 2, 2, read_model_alias, Occurs::often},
    {"expires", 1, 1, read_expires},
    {"customers", 1, 1, read_right<&KeyRecord::may_name_customer>},
    {"request_tags", 1, 1, read_right<&KeyRecord::may_tag>},
    {"tags", 1, 64, read_tags, Occurs::often},
};

constexpr Line<TeamBlock> kTeamLines[] = {
    LLM_SHARED_LINES(TeamBlock),
};

}  // namespace

char *read_key_block(ngx_conf_t *cf, Config &config) {
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    KeyBlock &block = *config.key_blocks.emplace_back(std::make_unique<KeyBlock>());
    block.place = ConfPlace::here(cf);
    block.record.is_configured = true;
    if (!read_key_hash(cf, args[1], block.record.hash)) {
        return conf_error();
    }
    return read_block(cf, kKeyLines, block, "llm_key");
}

char *read_team_block(ngx_conf_t *cf, Config &config) {
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    TeamBlock &block = *config.team_blocks.emplace_back(std::make_unique<TeamBlock>());
    block.place = ConfPlace::here(cf);
    block.record.is_configured = true;
    if (!read_name(cf, args[1], block.record.id)) {
        return conf_error();
    }
    return read_block(cf, kTeamLines, block, "llm_team");
}

char *read_master_key(ngx_conf_t *cf, Config &config) {
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    std::string hash;
    if (!read_key_hash(cf, args[1], hash)) {
        return conf_error();
    }
    for (const std::string &other : config.master_hashes) {
        if (other == hash) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: duplicate master key");
            return conf_error();
        }
    }
    config.master_hashes.push_back(std::move(hash));
    return conf_ok();
}

}  // namespace llm
