// Writes the members of a record.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ngx_llm_module/policy/record_json.hpp"
#include "translators/pricing/cost.hpp"

namespace llm {

class Members {
  public:
    Members(RecordForm form, json::Writer &w) : is_all_(form == RecordForm::shown), w_(w) {}

    void text(std::string_view name, const std::string &value) {
        if (begin(name, !value.empty())) {
            value.empty() ? w_.null() : w_.plain(value);
        }
    }
    void number(std::string_view name, int64_t value) {
        if (begin(name, value != kNoLimit)) {
            value == kNoLimit ? w_.null() : w_.number(value);
        }
    }
    void dollars(std::string_view name, int64_t nanos) {
        if (begin(name, nanos != kNoLimit)) {
            nanos == kNoLimit ? w_.null() : w_.raw(RawJson{llm::dollars(nanos)});
        }
    }
    void time(std::string_view name, int64_t value) {
        if (begin(name, value != 0)) {
            value == 0 ? w_.null() : w_.plain(render_time(value));
        }
    }
    // Shown in seconds, as other times are.
    void moment(std::string_view name, const Moment &value) {
        if (is_all_) {
            time(name, value.time);
        } else if (value.is_known()) {
            w_.key(name).plain(render_moment(value));
        }
    }
    void flag(std::string_view name, bool value) {
        if (begin(name, value)) {
            w_.boolean(value);
        }
    }
    void list(std::string_view name, const std::vector<std::string> &values) {
        if (begin(name, !values.empty())) {
            w_.array();
            for (const std::string &value : values) {
                w_.plain(value);
            }
            w_.end();
        }
    }
    void raw(std::string_view name, std::string_view json) {
        if (begin(name, !json.empty())) {
            w_.raw(RawJson{json.empty() ? "{}" : json});
        }
    }
    // False: the member is left out.
    bool begin(std::string_view name, bool is_set) {
        if (is_set || is_all_) {
            w_.key(name);
        }
        return is_set || is_all_;
    }
    bool is_shown() const { return is_all_; }
    json::Writer &writer() { return w_; }

  private:
    bool is_all_;
    json::Writer &w_;
};

inline void write_key_name(std::string_view name, json::Writer &w) {
    ByteBuffer escaped;
    json::append_escaped(name, escaped);
    w.key(JsonText{escaped.view()});
}

}  // namespace llm
