// llm_limit and llm_timezone.
#include <algorithm>

#include "ngx_llm_module/conf/block_reader.hpp"
#include "ngx_llm_module/conf/blocks.hpp"
#include "ngx_llm_module/conf/value.hpp"

namespace llm {
namespace {

constexpr size_t kMaxRules = 16;
constexpr std::string_view kZoneFolders[] = {"/usr/share/zoneinfo/", "/usr/lib/zoneinfo/"};
constexpr size_t kMaxZoneFile = 64 * 1024;

bool read_option(ngx_conf_t *cf, ngx_str_t option, LimitSet &limits) {
    std::string_view text = view(option);
    size_t equals = text.find('=');
    std::string_view name = text.substr(0, equals);
    if (equals != std::string_view::npos) {
        ngx_str_t value = str(text.substr(equals + 1));
        if (int64_t *limit = limit_by_name(name, limits)) {
            return read_limit(cf, name, value, *limit);
        }
        if (name == "max_budget") {
            return read_budget(cf, value, limits.budgets);
        }
        if (name == "on_outage") {
            return read_on_outage(cf, value, limits.on_outage.emplace());
        }
        if (name == "tokens") {
            if (view(value) == "total" || view(value) == "input" || view(value) == "output") {
                limits.tokens = view(value) == "input"    ? TokenKind::input
                                : view(value) == "output" ? TokenKind::output
                                                          : TokenKind::total;
                return true;
            }
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "llm: invalid tokens \"%V\", expected total, input or output",
                               &value);
            return false;
        }
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: unknown parameter \"%V\" of llm_limit", &option);
    return false;
}

// Counters of two directives must not mix, and those of one directive are to survive a reload: the
// text of KEY names them, and how many with the same text stand before it.
std::string rule_name(const Config &config, std::string_view key) {
    int before = 0;
    for (const auto &rules : config.limit_rules) {
        for (const LimitRule &rule : *rules) {
            before += rule.name == key || rule.name.starts_with(std::string(key) + '#') ? 1 : 0;
        }
    }
    return before == 0 ? std::string(key) : std::string(key) + '#' + std::to_string(before + 1);
}

// Not a path that leads elsewhere.
bool is_zone_name(std::string_view name) {
    return !name.empty() && name.front() != '/' && name.find("..") == std::string_view::npos &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                      c == '/' || c == '_' || c == '-' || c == '+';
           });
}

bool read_file(const std::string &path, std::string &content) {
    int fd = ngx_open_file(path.c_str(), NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        return false;
    }
    content.resize(kMaxZoneFile);
    ssize_t size = ngx_read_fd(fd, content.data(), content.size());
    ngx_close_file(fd);
    content.resize(size > 0 ? size_t(size) : 0);
    return size > 0;
}

}  // namespace

char *read_limit_rule(ngx_conf_t *cf, Config &config, LimitRules *&rules) {
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    LimitRule rule;
    rule.name = rule_name(config, view(args[1]));
    if (!read_value(cf, args[1], rule.key)) {
        return conf_error();
    }
    for (ngx_uint_t i = 2; i < cf->args->nelts; i++) {
        if (!read_option(cf, args[i], rule.limits)) {
            return conf_error();
        }
    }
    const LimitSet &limits = rule.limits;
    if (limits.rpm == kNoLimit && limits.tpm == kNoLimit &&
        limits.max_parallel_requests == kNoLimit && limits.budgets.empty()) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "llm: llm_limit needs rpm, tpm, max_parallel_requests or max_budget");
        return conf_error();
    }
    if (rules == nullptr) {
        rules = config.limit_rules.emplace_back(std::make_unique<LimitRules>()).get();
    }
    if (rules->size() == kMaxRules) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: more than %uz llm_limit at one level",
                           kMaxRules);
        return conf_error();
    }
    rules->push_back(std::move(rule));
    return conf_ok();
}

char *read_time_zone(ngx_conf_t *cf, Config &config) {
    auto *args = static_cast<ngx_str_t *>(cf->args->elts);
    if (config.has_time_zone) {
        return const_cast<char *>("is duplicate");
    }
    config.has_time_zone = true;
    std::string_view name = view(args[1]);
    if (name == "UTC") {
        return conf_ok();
    }
    if (is_zone_name(name)) {
        for (std::string_view folder : kZoneFolders) {
            std::string content;
            if (read_file(std::string(folder).append(name), content) &&
                config.time_zone.parse(content)) {
                return conf_ok();
            }
        }
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: unknown time zone \"%V\"", &args[1]);
    return conf_error();
}

}  // namespace llm
