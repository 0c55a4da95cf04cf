#include "ngx_llm_module/conf/state_path.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace llm {
namespace {

bool is_in_group(const passwd &user, gid_t own, gid_t group) {
    std::vector<gid_t> groups(64);
    int count = int(groups.size());
    if (getgrouplist(user.pw_name, own, groups.data(), &count) < 0) {
        return true;  // more than that: who knows
    }
    return std::find(groups.begin(), groups.begin() + count, group) != groups.begin() + count;
}

// By the mode alone, for the user of the directive `user`, which stands before http, or nginx's
// default. A master that is not root has workers of its own kind.
bool may_workers_write(ngx_conf_t *cf, const std::string &directory, const struct stat &found) {
    if (geteuid() != 0) {
        return access(directory.c_str(), W_OK | X_OK) == 0;
    }
    auto *core =
        reinterpret_cast<ngx_core_conf_t *>(ngx_get_conf(cf->cycle->conf_ctx, ngx_core_module));
    bool is_said = core->user != ngx_uid_t(NGX_CONF_UNSET_UINT);
    const passwd *user = is_said ? getpwuid(core->user) : getpwnam(NGX_USER);
    if (user == nullptr || user->pw_uid == 0) {
        return true;
    }
    mode_t wanted = S_IWOTH | S_IXOTH;
    if (found.st_uid == user->pw_uid) {
        wanted = S_IWUSR | S_IXUSR;
    } else if (is_in_group(*user, is_said ? core->group : user->pw_gid, found.st_gid)) {
        wanted = S_IWGRP | S_IXGRP;
    }
    return (found.st_mode & wanted) == wanted;
}

}  // namespace

bool check_state_path(ngx_conf_t *cf, const std::string &path) {
    size_t slash = path.rfind('/');
    std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    struct stat found;
    if (stat(directory.c_str(), &found) != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "llm: the directory \"%s\" of state= cannot be found",
                           directory.c_str());
        return false;
    }
    if (!may_workers_write(cf, directory, found)) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "llm: the directory \"%s\" of state= must be writable for the workers' "
                           "user: without it changes through llm_admin are refused",
                           directory.c_str());
    }
    for (const char *suffix : {"", ".journal", ".lock", ".new"}) {
        std::string file = path + suffix;
        if (stat(file.c_str(), &found) != 0) {
            ngx_err_t error = ngx_errno;
            bool is_link = error == NGX_ENOENT && lstat(file.c_str(), &found) == 0;
            if (error == NGX_ENOENT && !is_link) {
                continue;
            }
            ngx_conf_log_error(
                NGX_LOG_EMERG, cf, is_link ? 0 : error, "llm: \"%s\" of state= %s", file.c_str(),
                is_link ? "is a link to a file that is not there" : "cannot be used");
            return false;
        }
        if (!S_ISREG(found.st_mode)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "llm: \"%s\" of state= is %s", file.c_str(),
                               S_ISDIR(found.st_mode) ? "a directory" : "no regular file");
            return false;
        }
    }
    return true;
}

}  // namespace llm
