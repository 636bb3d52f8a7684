import { createApp } from 'vue'
import Echo from './Echo.vue'

createApp(Echo).mount('#app')
