#include "ngx_llm_module/conf/identities.hpp"

#include "ngx_llm_module/conf/complain.hpp"
#include "translators/json/writer.hpp"

namespace llm {
namespace {

template <class Block>
bool check_models(ngx_conf_t *cf, const Config &config, const Block &block) {
    for (const Placed &model : block.models) {
        if (!names_a_model(config, model.text)) {
            return complain(cf, model.place, "unknown model \"%s\"", model.text.c_str());
        }
    }
    return true;
}

std::string render_metadata(const std::vector<std::pair<std::string, std::string>> &metadata) {
    if (metadata.empty()) {
        return {};
    }
    ByteBuffer out;
    json::Writer w(out);
    w.object();
    for (const auto &[name, value] : metadata) {
        ByteBuffer escaped;
        json::append_escaped(name, escaped);
        w.key(JsonText{escaped.view()}).plain(value);
    }
    w.end();
    return std::string(out.view());
}

bool is_prefix_of(std::string_view prefix, std::string_view name) {
    return name.starts_with(prefix);
}

}  // namespace

bool names_a_model(const Config &config, std::string_view entry) {
    // Words of LiteLLM: what the team has; every model; none.
    if (entry == "*" || entry == "all-team-models" || entry == "all-proxy-models" ||
        entry == "no-default-models") {
        return true;
    }
    bool is_pattern = !entry.empty() && entry.back() == '*';
    if (is_pattern) {
        entry.remove_suffix(1);
    }
    for (const auto &model : config.models) {
        if (model->is_wildcard() && (is_prefix_of(model->prefix(), entry) ||
                                     (is_pattern && is_prefix_of(entry, model->prefix())))) {
            return true;
        }
    }
    for (const auto &[name, model] : config.by_name) {
        if (is_pattern ? is_prefix_of(entry, name) : name == entry) {
            return true;
        }
    }
    size_t slash = entry.find('/');
    return slash != std::string_view::npos && (is_pattern || slash + 1 < entry.size()) &&
           config.find_provider(entry.substr(0, slash)) != nullptr;
}

bool check_identities(ngx_conf_t *cf, Config &config) {
    for (auto &block : config.team_blocks) {
        if (!check_models(cf, config, *block)) {
            return false;
        }
        block->record.metadata = render_metadata(block->metadata);
        auto record = std::make_shared<const TeamRecord>(block->record);
        if (!config.teams.emplace(record->id, record).second) {
            return complain(cf, block->place, "duplicate team \"%s\"", record->id.c_str());
        }
    }
    for (auto &block : config.key_blocks) {
        if (!check_models(cf, config, *block)) {
            return false;
        }
        KeyRecord &key = block->record;
        if (!key.team.empty() && config.teams.find(key.team) == config.teams.end()) {
            return complain(cf, block->team.place, "unknown team \"%s\"", key.team.c_str());
        }
        key.metadata = render_metadata(block->metadata);
        for (const std::string &master : config.master_hashes) {
            if (master == key.hash) {
                return complain(cf, block->place, "the key is the master key");
            }
        }
        if (!config.keys.emplace(key.hash, std::make_shared<const KeyRecord>(key)).second) {
            return complain(cf, block->place, "duplicate key");
        }
    }
    return true;
}

}  // namespace llm
