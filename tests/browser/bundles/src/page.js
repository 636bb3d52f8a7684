// A page's script. What comes out is named odac.js, as a project of that name would.
import { Odac } from 'odac-client'

window.Odac = Odac
