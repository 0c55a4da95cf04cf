// Reading and checking of what says how deployments are chosen and what follows a failure.
#pragma once

#include "ngx_llm_module/conf/block_reader.hpp"

namespace llm {

// Each logs what is wrong and says false.
bool read_names(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, std::vector<Placed> &names);
bool read_recover_word(ngx_conf_t *cf, ngx_str_t text, ngx_uint_t &recover);
bool read_tags(ngx_conf_t *cf, ngx_str_t text, std::vector<std::string> &tags);
bool read_strategy(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model);
bool read_hedge(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model);
bool read_affinity(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model);
bool read_cooldown_time(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model);
bool read_recover(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model);

template <std::vector<Placed> Routing::*Which>
bool read_fallbacks(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t count, Model &model) {
    return read_names(cf, args, count, model.routing.*Which);
}

template <ngx_uint_t Routing::*Which>
bool read_count(ngx_conf_t *cf, ngx_str_t *args, ngx_uint_t, Model &model) {
    return read_number(cf, args[0], 0, model.routing.*Which);
}

// The models that are named exist, and no list of fallbacks leads back to where it began. Called
// when models can be found by name.
bool check_fallbacks(ngx_conf_t *cf, const Config &config);

}  // namespace llm
